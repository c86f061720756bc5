#include "proxy/context.hpp"

#include <algorithm>
#include <limits>

namespace penstock::proxy {

namespace {

balancer::PolicyKind policy_kind(config::Balance balance) noexcept {
    switch (balance) {
        case config::Balance::round_robin: return balancer::PolicyKind::round_robin;
        case config::Balance::least_connections: return balancer::PolicyKind::least_connections;
        case config::Balance::p2c: return balancer::PolicyKind::p2c;
        case config::Balance::random: return balancer::PolicyKind::random;
        case config::Balance::least_latency: return balancer::PolicyKind::least_latency;
        case config::Balance::first: return balancer::PolicyKind::first;
        default: break;
    }
    std::unreachable();
}

// The kernel takes whole seconds, from 1 to 32,767 (tcp(7)).
std::uint32_t keepalive_seconds(Duration duration) noexcept {
    const auto s = std::chrono::ceil<std::chrono::seconds>(duration).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(s, 1, 32767));
}

net::KeepaliveOptions keepalive_options(const config::Keepalive& keepalive) noexcept {
    return {keepalive_seconds(keepalive.idle), keepalive_seconds(keepalive.interval),
            std::clamp(keepalive.probes, 1U, 127U)};
}

}  // namespace

UpstreamContext::UpstreamContext(std::shared_ptr<const UpstreamShared> from, std::uint64_t seed)
    : shared(std::move(from)),
      selector(shared->backends, {.kind = policy_kind(shared->settings.balance)}, seed),
      keepalive(keepalive_options(shared->settings.keepalive)) {}

ListenerContext::ListenerContext(std::shared_ptr<ListenerShared> from, UpstreamPtr to)
    : shared(std::move(from)),
      upstream(std::move(to)),
      timeouts{shared->settings.timeouts.idle, shared->settings.timeouts.half_closed,
               shared->settings.peer_timeout},
      keepalive(keepalive_options(shared->settings.keepalive)) {}

}  // namespace penstock::proxy
