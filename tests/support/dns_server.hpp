#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// A name server that answers as a script tells, over UDP and TCP on one port of loopback; lies and
/// breaks the rules where it is told to.
class DnsServer {
public:
    struct Record {
        std::uint16_t type = 1;
        std::uint32_t ttl = 60;
        std::string data{};  // as on the wire
        std::string owner{};  // "" = the name that was asked for
    };
    enum class Lie : std::uint8_t { none, wrong_id, wrong_question, other_port };
    struct Reply {
        std::vector<Record> answers{};
        unsigned rcode = 0;
        bool truncated = false;  // over UDP: no answer, but the TC bit
        bool silent = false;
        Lie lie = Lie::none;
        std::string raw{};  // instead of all that; behind the id
    };
    static constexpr std::uint16_t a = 1, cname = 5, aaaa = 28, srv = 33;
    using Script = std::function<Reply(const std::string& name, std::uint16_t type, bool over_tcp)>;

    /// `port`: 0 = any free one; 53 in a network namespace of its own, where the system's is.
    explicit DnsServer(Script script, std::uint16_t port = 0);
    ~DnsServer();
    DnsServer(const DnsServer&) = delete;
    DnsServer& operator=(const DnsServer&) = delete;

    void set(Script script);
    [[nodiscard]] std::string text() const { return "127.0.0.1:" + std::to_string(port_); }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] unsigned queries() const { return queries_; }
    [[nodiscard]] unsigned over_tcp() const { return over_tcp_; }

    static Record ipv4(const std::string& address, std::uint32_t ttl = 60);
    static Record ipv6(const std::string& address, std::uint32_t ttl = 60);
    static Record alias(const std::string& target, const std::string& owner = "");
    static Record service(std::uint16_t priority, std::uint16_t weight, std::uint16_t port,
                          const std::string& target, std::uint32_t ttl = 60);
    /// These addresses for A, nothing for anything else.
    static Script always(std::vector<Record> addresses);
    /// A name as on the wire.
    static std::string wire(const std::string& name);

private:
    void serve();
    void answer_datagram();
    void answer_stream();
    [[nodiscard]] std::string answer(const std::string& query, bool over_tcp, Reply& reply);

    std::mutex mutex_;
    Script script_;
    UniqueFd udp_;
    UniqueFd other_;  // another port to answer from
    UniqueFd tcp_;
    UniqueFd stop_;
    std::uint16_t port_ = 0;
    std::atomic<unsigned> queries_ = 0;
    std::atomic<unsigned> over_tcp_ = 0;
    std::thread thread_;
};

}  // namespace penstock::test
