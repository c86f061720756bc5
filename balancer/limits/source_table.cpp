#include "balancer/limits/source_table.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace penstock::balancer {

namespace {

// A handle is the shard in the upper bits and the node's number from 1 in the lower ones.
constexpr unsigned node_bits = 26;
constexpr SourcePermit::Handle node_mask = (SourcePermit::Handle{1} << node_bits) - 1;

}  // namespace

SourceTable::SourceTable(const Limits& limits, const Size& size, SipHash hash)
    : limits_(limits),
      hash_(hash),
      shard_count_(size.shards),
      shard_size_(static_cast<Index>(
          std::clamp<std::size_t>(size.sources / size.shards, 1, node_mask - 1))),
      shards_(std::make_unique<Shard[]>(size.shards)) {
    assert(std::has_single_bit(size.shards) && size.shards <= 64);
    for (std::size_t i = 0; i < shard_count_; ++i) {
        shards_[i].chains.assign(std::bit_ceil(shard_size_), nothing);
        shards_[i].nodes = std::make_unique_for_overwrite<Node[]>(shard_size_);
    }
}

SourceTable::~SourceTable() {
    for (std::size_t i = 0; i < shard_count_; ++i)
        for (Index at = 0; at < shards_[i].used; ++at) assert(shards_[i].nodes[at].active == 0);
}

SourceTable::Index SourceTable::find(Shard& shard, const Key& key) const noexcept {
    Index at = chain(shard, key);
    while (at != nothing && shard.nodes[at].key != key) at = shard.nodes[at].next;
    return at;
}

SourceTable::Standing SourceTable::standing(const Node& node, TimePoint now) const noexcept {
    return {limits_.connections != 0 && node.active >= limits_.connections,
            limits_.rate && !limits_.rate->take(node.spent, now)};
}

SourcePermit SourceTable::count(Shard& shard, Index found, const Key& key, TimePoint now) noexcept {
    if (found == nothing) {
        found = make_room(shard, now);
        if (found == nothing) return {};
        insert(shard, found, key);
    }
    Node& node = shard.nodes[found];
    if (node.active++ == 0) wake(shard, found);
    if (limits_.rate) node.spent = limits_.rate->take(node.spent, now).value_or(node.spent);
    const auto which = static_cast<SourcePermit::Handle>(&shard - shards_.get());
    return {this, which << node_bits | (found + 1)};
}

void SourceTable::leave(SourcePermit::Handle handle) noexcept {
    Shard& shard = shards_[handle >> node_bits];
    const Index at = (handle & node_mask) - 1;
    const std::lock_guard lock(shard.mutex);
    assert(shard.nodes[at].active > 0);
    if (--shard.nodes[at].active == 0) rest(shard, at);
}

void SourceTable::set_limits(const Limits& limits) {
    for (std::size_t i = 0; i < shard_count_; ++i) shards_[i].mutex.lock();
    if (limits.rate != limits_.rate)  // what is spent was counted in parts of another token
        for (std::size_t i = 0; i < shard_count_; ++i)
            for (Index at = 0; at < shards_[i].used; ++at) shards_[i].nodes[at].spent = 0;
    limits_ = limits;
    for (std::size_t i = shard_count_; i-- > 0;) shards_[i].mutex.unlock();
}

std::uint32_t SourceTable::connections(const Key& key) {
    Shard& shard = shards_[shard_of(hash_(key))];
    const std::lock_guard lock(shard.mutex);
    const Index found = find(shard, key);
    return found == nothing ? 0 : shard.nodes[found].active;
}

std::uint64_t SourceTable::tokens_used(const Key& key, TimePoint now) {
    Shard& shard = shards_[shard_of(hash_(key))];
    const std::lock_guard lock(shard.mutex);
    const Index found = find(shard, key);
    return found == nothing || !limits_.rate ? 0
                                             : limits_.rate->used(shard.nodes[found].spent, now);
}

// A node that is not in the list of those at rest, or nothing.
SourceTable::Index SourceTable::make_room(Shard& shard, TimePoint now) noexcept {
    if (shard.used < shard_size_) {
        shard.nodes[shard.used].older = shard.nodes[shard.used].newer = nothing;
        return shard.used++;
    }
    const Index oldest = shard.oldest;
    if (oldest == nothing ||
        (limits_.rate && !limits_.rate->is_full(shard.nodes[oldest].spent, now)))
        overflows_.fetch_add(1, std::memory_order_relaxed);
    if (oldest == nothing) return nothing;
    unchain(shard, oldest);
    return oldest;
}

// The node is as one at rest: wake() comes next.
void SourceTable::insert(Shard& shard, Index at, const Key& key) noexcept {
    Node& node = shard.nodes[at];
    node.key = key;
    node.spent = 0;
    node.active = 0;
    node.next = std::exchange(chain(shard, key), at);
}

void SourceTable::unchain(Shard& shard, Index at) noexcept {
    Index* link = &chain(shard, shard.nodes[at].key);
    while (*link != at) link = &shard.nodes[*link].next;
    *link = shard.nodes[at].next;
}

void SourceTable::rest(Shard& shard, Index at) noexcept {
    shard.nodes[at].older = shard.newest;
    shard.nodes[at].newer = nothing;
    (shard.newest == nothing ? shard.oldest : shard.nodes[shard.newest].newer) = at;
    shard.newest = at;
}

void SourceTable::wake(Shard& shard, Index at) noexcept {
    const auto [older, newer] = std::pair(shard.nodes[at].older, shard.nodes[at].newer);
    if (older == nothing && newer == nothing && shard.oldest != at) return;  // a new node
    (older == nothing ? shard.oldest : shard.nodes[older].newer) = newer;
    (newer == nothing ? shard.newest : shard.nodes[newer].older) = older;
}

}  // namespace penstock::balancer
