#include "balancer/backend_set.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace penstock::balancer {

BackendSet::BackendSet(std::vector<BackendEntry> entries) {
    std::ranges::stable_sort(entries, {}, &BackendEntry::tier);
    backends_.reserve(entries.size());
    weights_.reserve(entries.size());
    ready_.reserve(entries.size());
    for (auto& entry : entries) {
        assert(entry.backend);
        const auto i = static_cast<std::uint32_t>(backends_.size());
        if (tiers_.empty() || tiers_.back().number != entry.tier)
            tiers_.push_back({entry.tier, i, i});
        tiers_.back().end = i + 1;
        backends_.push_back(std::move(entry.backend));
        weights_.push_back(entry.weight);
        ready_.push_back(entry.ready ? 1 : 0);
    }
}

}  // namespace penstock::balancer
