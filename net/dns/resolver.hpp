#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/endpoint.hpp"

namespace penstock::net {

/// An A or AAAA record.
struct DnsAddress {
    Endpoint address;  // port 0
    Duration ttl{};
};

/// An SRV record (RFC 2782).
struct DnsService {
    std::string target;
    std::uint16_t port = 0;
    std::uint16_t priority = 0;
    std::uint16_t weight = 0;
    Duration ttl{};
};

struct DnsError {
    bool is_empty = false;  // the name, or this kind of record, does not exist: a good answer
    std::string text;       // `SERVFAIL`-like, in words
};

/// Looks names up without blocking, by c-ares: over UDP, and TCP where an answer is truncated, with
/// its retries, random ids and ports, and checks of what an answer answers. Of the system it takes
/// /etc/resolv.conf (read again after a failure: it may have changed) and /etc/hosts. One thread:
/// that of the io_context.
class DnsResolver {
public:
    template <typename Record>
    using Handler = std::function<void(std::expected<std::vector<Record>, DnsError>)>;

    /// `servers`: to be asked instead of the system's; /etc/hosts and search domains do not count
    /// then.
    DnsResolver(boost::asio::io_context& context, std::vector<Endpoint> servers);
    ~DnsResolver();
    DnsResolver(const DnsResolver&) = delete;
    DnsResolver& operator=(const DnsResolver&) = delete;

    /// A and AAAA, each at most `most_records`. The handler is called once, never from within this
    /// call; not at all after stop().
    void find_addresses(const std::string& name, Handler<DnsAddress> handler);
    void find_services(const std::string& name, Handler<DnsService> handler);
    /// Forgets all queries, and lets the io_context run out of work.
    void stop();

    static constexpr std::size_t most_records = 4096;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace penstock::net
