#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.hpp"
#include "base/log_throttle.hpp"
#include "base/random.hpp"
#include "config/health.hpp"
#include "health/check_gate.hpp"
#include "health/discovery/discovered_set.hpp"
#include "health/discovery/source.hpp"
#include "net/dns/resolver.hpp"

namespace penstock::health {

/// The backends behind one name in DNS, looked up again whenever the answer is too old; after a
/// failure, after a random pause that grows. Control thread.
class NameSource final : public Source {
public:
    struct Spec {
        config::Discovery lookup;  // type dns or srv; name, port, resolver, times
        /// What each backend starts from; its name is a prefix: `NAME@` or "".
        Discovered like;
        bool is_listed = false;  // a backend whose address is a host name
    };

    NameSource(const SourceShared& shared, Spec spec);

    void start() override;
    void stop() override;
    [[nodiscard]] std::vector<Discovered> list() const override { return set_.list(); }
    [[nodiscard]] bool settled() const override { return settled_; }
    void on_check(std::string_view name, bool up) override;
    void add_status(std::vector<SourceStatus>& to) const override { to.push_back(status_); }

private:
    /// An SRV answer, whose targets are looked up one after the other.
    struct Services {
        std::vector<net::DnsService> records;
        std::size_t next = 0;
        Duration ttl{};
        std::vector<Discovered> found;
    };

    void look_up();
    void on_addresses(std::vector<net::DnsAddress> found);
    void on_services(std::vector<net::DnsService> records);
    void look_up_next_target();
    void on_failure(const net::DnsError& error);
    void on_answer(std::vector<Discovered> found, Duration ttl);
    [[nodiscard]] std::optional<Discovered> backend_at(Endpoint address, std::uint16_t port);
    void log_change(const std::vector<Discovered>& before);
    void arm();
    void on_timer();

    const SourceShared& shared_;
    Spec spec_;
    net::DnsResolver resolver_;
    DiscoveredSet set_;
    Backoff retry_;
    Random random_;
    Timer timer_;
    TimePoint look_up_at_ = no_deadline;
    Services services_;
    SourceStatus status_;
    LogThrottle failures_;
    bool settled_ = false;
    bool stopped_ = false;
};

/// How long an answer with this TTL is believed: within min_ttl and max_ttl, and up to a twentieth
/// more, so that many proxies do not ask at the same time; `unit` in [0, 1). Pure.
[[nodiscard]] Duration belief(Duration ttl, const config::Discovery& lookup, double unit) noexcept;

}  // namespace penstock::health
