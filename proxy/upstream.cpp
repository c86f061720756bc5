#include "proxy/upstream.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/random.hpp"
#include "config/to_backends.hpp"
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
        case config::HashKey::sni: return balancer::HashKey::sni;
    }
    std::unreachable();
}

// The kernel takes whole seconds, from 1 to 32,767 (tcp(7)).
std::uint32_t keepalive_seconds(Duration duration) noexcept {
    const auto s = std::chrono::ceil<std::chrono::seconds>(duration).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(s, 1, 32767));
}

}  // namespace

balancer::SelectorOptions selector_options(const config::Upstream& upstream) noexcept {
    const config::SlowStart& slow = upstream.slow_start;
    return {.kind = policy_kind(upstream.balance),
            .bounded_load = upstream.bounded_load,
            .spill_when_full = upstream.spill_when_full,
            .tier_join_below = upstream.tier_join_below,
            .slow_start = {slow.window, slow.min_weight, slow.aggression}};
}

balancer::KeyHasher key_hasher(const config::Upstream& upstream, std::uint64_t hash_seed) noexcept {
    return {policy_kind(upstream.balance), hash_key(upstream.hash_key), hash_seed};
}

net::KeepaliveOptions keepalive_options(const config::Keepalive& keepalive) noexcept {
    return {keepalive_seconds(keepalive.idle), keepalive_seconds(keepalive.interval),
            std::clamp(keepalive.probes, 1U, 127U)};
}

UpstreamShared::UpstreamShared(const config::Upstream& from, std::size_t workers)
    : name(from.name),
      connections(from.max_connections),
      held(from.hold.max_length),
      retries(from.retry_budget),
      lines{WaitingLine(workers, from.queue.max_length, from.queue.policy),
            WaitingLine(workers, from.queue.max_length, from.queue.policy),
            WaitingLine(workers, from.queue.max_length, from.queue.policy)},
      sources(workers),
      warm(workers),
      cells(workers) {
    sources.configure(from.source_address);
}

void UpstreamShared::configure(const config::Upstream& changed) {
    connections.set_limit(changed.max_connections);
    held.set_limit(changed.hold.max_length);
    retries.set_share(changed.retry_budget);
    for (WaitingLine& line : lines) line.configure(changed.queue.max_length, changed.queue.policy);
    sources.configure(changed.source_address);
}

bool UpstreamShared::anybody_waits() const noexcept {
    return std::ranges::any_of(lines, [](const WaitingLine& line) { return line.waiting() != 0; });
}

bool UpstreamShared::occupied() const noexcept {
    return std::ranges::any_of(lines, &WaitingLine::occupied);
}

Lane::Lane(Role asked, SnapshotPtr snapshot, const balancer::SelectorOptions& options,
           std::uint64_t seed)
    : role(asked), selector(snapshot->set, options, seed) {
    selector.adopt(*snapshot, asked);
}

UpstreamContext::UpstreamContext(std::shared_ptr<UpstreamShared> from,
                                 UpstreamSettings its_settings, SnapshotPtr first, unsigned worker,
                                 std::uint64_t seed)
    : shared(std::move(from)),
      hasher(key_hasher(*its_settings, first->set->hash_seed())),
      sources(shared->sources, worker),
      keepalive(keepalive_options(its_settings->keepalive)),
      cells(shared->cells[worker]),
      wants_latency(its_settings->balance == config::Balance::least_latency),
      settings_(std::move(its_settings)),
      snapshot_(std::move(first)),
      worker_(worker),
      seed_(seed) {
    sources.use(settings_->source_address);
    lane(Role::none);
}

UpstreamContext::~UpstreamContext() = default;

Lane& UpstreamContext::lane(Role asked) {
    const auto found =
        std::ranges::find(lanes_, asked, [](const auto& lane) { return lane->role; });
    if (found != lanes_.end()) return **found;
    return *lanes_.emplace_back(
        std::make_unique<Lane>(asked, snapshot_, selector_options(settings()), lane_seed()));
}

std::uint64_t UpstreamContext::lane_seed() noexcept { return Random(seed_++).next(); }

void UpstreamContext::change(UpstreamSettings settings, SnapshotPtr snapshot) {
    const UpstreamSettings before = std::exchange(settings_, std::move(settings));
    hasher = key_hasher(*settings_, snapshot->set->hash_seed());
    if (before->source_address != settings_->source_address) sources.use(settings_->source_address);
    keepalive = keepalive_options(settings_->keepalive);
    wants_latency = settings_->balance == config::Balance::least_latency;
    const auto options = selector_options(*settings_);
    if (options != selector_options(*before))
        // Before anybody asks a policy for tables that the old set does not have.
        for (const auto& lane : lanes_)
            lane->selector = balancer::Selector(snapshot->set, options, lane_seed());
    adopt(std::move(snapshot));
}

bool UpstreamContext::use_tls(std::shared_ptr<const net::tls::ClientContext> context) {
    if (tls == context) return false;
    tls = std::move(context);
    sessions_.clear();
    return true;
}

std::string UpstreamContext::verify_name(const balancer::Backend& backend) const {
    return config::verify_name(settings(), backend.host(), backend.address());
}

std::unique_ptr<net::tls::Stream> UpstreamContext::secure(const net::tls::ClientContext& context,
                                                          const std::string& verify_name,
                                                          const balancer::Backend& backend,
                                                          net::Socket& socket) {
    const auto known = sessions_.find(backend.name());
    return std::make_unique<net::tls::Stream>(context, socket, verify_name,
                                              known == sessions_.end() ? nullptr : &known->second);
}

void UpstreamContext::keep_session(const balancer::Backend& backend, net::tls::Stream& stream) {
    if (!tls || !settings().tls || !settings().tls->session_reuse) return;
    if (auto session = stream.take_session()) sessions_[backend.name()] = std::move(session);
}

void UpstreamContext::leave() {
    left = true;
    adopt(std::make_shared<const balancer::Snapshot>(
        std::make_shared<const balancer::BackendSet>(std::vector<balancer::BackendEntry>{})));
}

bool UpstreamContext::available(std::uint32_t backend) const noexcept {
    return std::ranges::any_of(
        lanes_, [backend](const auto& lane) { return lane->selector.available(backend); });
}

bool UpstreamContext::adopt(SnapshotPtr snapshot) {
    const SnapshotPtr before = std::exchange(snapshot_, std::move(snapshot));
    for (const auto& lane : lanes_) lane->selector.adopt(*snapshot_, lane->role);
    if (before->set == snapshot_->set) return false;
    keep_leaving(*before->set);
    if (pool) pool->follow(*before->set);
    return true;
}

// Sessions point to their backends. Those of this worker are counted before it looks.
void UpstreamContext::keep_leaving(const balancer::BackendSet& before) {
    std::erase_if(leaving_, [](const auto& backend) {
        return backend->active() == 0 && backend->slots().used() == 0;
    });
    std::erase_if(sessions_, [this](const auto& session) {
        return std::ranges::none_of(set()->backends(), [&](const balancer::Backend* backend) {
            return backend->name() == session.first;
        });
    });
    std::vector<const balancer::Backend*> staying(set()->backends().begin(),
                                                  set()->backends().end());
    std::ranges::sort(staying);
    for (std::size_t i = 0; i < before.size(); ++i)
        if (!std::ranges::binary_search(staying, &before.backend(i)))
            leaving_.push_back(before.share(i));
}

}  // namespace penstock::proxy
