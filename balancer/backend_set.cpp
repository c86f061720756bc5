#include "balancer/backend_set.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "balancer/hash.hpp"

namespace penstock::balancer {

BackendSet::BackendSet(std::vector<BackendEntry> entries, const SetOptions& options)
    : hash_seed_(options.hash_seed), tiers_join_(options.tiers_join) {
    std::vector<std::pair<std::uint32_t, std::size_t>> order;  // tier, place in entries
    order.reserve(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) order.emplace_back(entries[i].tier, i);
    std::ranges::sort(order);
    backends_.reserve(entries.size());
    pointers_.reserve(entries.size());
    weights_.reserve(entries.size());
    ready_.reserve(entries.size());
    for (const auto& [tier, place] : order) {
        auto& entry = entries[place];
        assert(entry.backend);
        const auto i = static_cast<std::uint32_t>(backends_.size());
        if (tiers_.empty() || tiers_.back().number != tier) tiers_.push_back({tier, i, i});
        tiers_.back().end = i + 1;
        const auto& limits = *entry.backend;
        limited_ = limited_ || limits.slots().limit() != 0 || limits.connecting().limit() != 0;
        pointers_.push_back(entry.backend.get());
        backends_.push_back(std::move(entry.backend));
        weights_.push_back(entry.weight);
        ready_.push_back(entry.ready ? 1 : 0);
    }
    ranges_.reserve(tiers_.size());
    for (std::size_t t = 0; t < tiers_.size(); ++t)
        ranges_.push_back(
            {tiers_join_ && t < max_joining_tiers ? 0 : tiers_[t].begin, tiers_[t].end});
    if (options.hash_tables != HashTables::none)
        build_hash_tables(options.hash_tables, options.hash_seed);
}

std::optional<std::uint32_t> BackendSet::find(const Backend& backend) const noexcept {
    const auto found = std::ranges::find(pointers_, &backend);
    if (found == pointers_.end()) return std::nullopt;
    return static_cast<std::uint32_t>(found - pointers_.begin());
}

void BackendSet::build_hash_tables(HashTables kind, std::uint64_t seed) {
    std::vector<HashEntry> entries;
    entries.reserve(size());
    name_hashes_.reserve(size());
    for (std::size_t i = 0; i < size(); ++i) {
        entries.push_back({backend(i).name(), weight(i)});
        name_hashes_.push_back(hash64(backend(i).name(), seed));
    }
    hash_checksum_ = mix64(seed);
    for (const auto& [begin, end] : ranges_) {
        const auto part = std::span(entries).subspan(begin, end - begin);
        const std::uint64_t checksum = kind == HashTables::maglev
                                           ? maglev_.emplace_back(part, seed).checksum()
                                           : rings_.emplace_back(part).checksum();
        hash_checksum_ = mix64(hash_checksum_ ^ checksum);
    }
}

}  // namespace penstock::balancer
