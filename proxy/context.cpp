#include "proxy/context.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/random.hpp"
#include "proxy/pool/warm_pool.hpp"

namespace penstock::proxy {

namespace {

balancer::PolicyKind policy_kind(config::Balance balance) noexcept {
    switch (balance) {
        case config::Balance::round_robin: return balancer::PolicyKind::round_robin;
        case config::Balance::least_connections: return balancer::PolicyKind::least_connections;
        case config::Balance::p2c: return balancer::PolicyKind::p2c;
        case config::Balance::random: return balancer::PolicyKind::random;
        case config::Balance::least_latency: return balancer::PolicyKind::least_latency;
        case config::Balance::maglev: return balancer::PolicyKind::maglev;
        case config::Balance::ring_hash: return balancer::PolicyKind::ring_hash;
        case config::Balance::first: return balancer::PolicyKind::first;
    }
    std::unreachable();
}

balancer::HashKey hash_key(config::HashKey key) noexcept {
    switch (key) {
        case config::HashKey::source_ip: return balancer::HashKey::source_ip;
        case config::HashKey::source_ip_port: return balancer::HashKey::source_ip_port;
    }
    std::unreachable();
}

balancer::SelectorOptions selector_options(const config::Upstream& upstream) noexcept {
    const config::SlowStart& slow = upstream.slow_start;
    return {.kind = policy_kind(upstream.balance),
            .bounded_load = upstream.bounded_load,
            .spill_when_full = upstream.spill_when_full,
            .tier_join_below = upstream.tier_join_below,
            .slow_start = {slow.window, slow.min_weight, slow.aggression}};
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

UpstreamShared::UpstreamShared(config::Upstream from,
                               std::shared_ptr<const balancer::BackendSet> set, std::size_t workers)
    : settings(std::move(from)),
      backends(std::move(set)),
      connections(settings.max_connections),
      held(settings.hold.max_length),
      retries(settings.retry_budget),
      line(workers, settings.queue.max_length, settings.queue.policy),
      warm(workers) {}

UpstreamContext::UpstreamContext(std::shared_ptr<UpstreamShared> from, std::uint64_t seed)
    : shared(std::move(from)),
      selector(shared->backends, selector_options(shared->settings), seed),
      hasher(policy_kind(shared->settings.balance), hash_key(shared->settings.hash_key),
             shared->backends->hash_seed()),
      keepalive(keepalive_options(shared->settings.keepalive)),
      wants_latency(shared->settings.balance == config::Balance::least_latency) {}

UpstreamContext::~UpstreamContext() = default;

ListenerShared::ListenerShared(config::Listener from, std::size_t workers,
                               const balancer::SourceTable::Size& sources)
    : settings(std::move(from)),
      gate(settings, sources, SipHash(entropy(), entropy())),
      waiting(workers),
      access(AccessPolicy::make(settings, {})) {}

ListenerContext::ListenerContext(std::shared_ptr<ListenerShared> from, Router to)
    : shared(std::move(from)),
      router(std::move(to)),
      timeouts{shared->settings.timeouts.idle, shared->settings.timeouts.half_closed,
               shared->settings.peer_timeout},
      keepalive(keepalive_options(shared->settings.keepalive)),
      access(shared->access) {}

}  // namespace penstock::proxy
