#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "balancer/backend_set.hpp"
#include "balancer/policy.hpp"
#include "balancer/selector.hpp"

namespace penstock::balancer::testing {

inline constexpr PolicyKind all_policies[] = {
    PolicyKind::round_robin, PolicyKind::least_connections, PolicyKind::p2c, PolicyKind::random};

inline std::string name_of(PolicyKind kind) {
    switch (kind) {
        case PolicyKind::round_robin: return "round_robin";
        case PolicyKind::least_connections: return "least_connections";
        case PolicyKind::p2c: return "p2c";
        case PolicyKind::random: return "random";
    }
    return "?";
}

struct Member {
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    bool ready = true;
};

/// Backends named b0, b1, ... in the order given.
inline std::shared_ptr<const BackendSet> make_set(const std::vector<Member>& members) {
    std::vector<BackendEntry> entries;
    for (const Member& member : members)
        entries.push_back(
            {std::make_shared<Backend>(
                 "up", std::string("b").append(std::to_string(entries.size())), Endpoint{}),
             member.weight, member.tier, member.ready});
    return std::make_shared<const BackendSet>(std::move(entries));
}

inline std::shared_ptr<const BackendSet> make_set_of_weights(
    const std::vector<std::uint32_t>& weights) {
    std::vector<Member> members;
    for (const auto weight : weights) members.push_back({.weight = weight});
    return make_set(members);
}

inline Bitmap all_of(const BackendSet& set) {
    Bitmap bitmap(set.size());
    for (std::size_t i = 0; i < set.size(); ++i) bitmap.set(i);
    return bitmap;
}

inline std::vector<std::uint64_t> count_picks(Selector& selector, std::size_t picks,
                                              const Bitmap& tried = {}) {
    std::vector<std::uint64_t> counts(selector.set().size());
    for (std::size_t n = 0; n < picks; ++n)
        if (const auto i = selector.pick(tried)) ++counts[*i];
    return counts;
}

/// Pearson's statistic of `counts` against shares in proportion to `weights`; backends of weight 0
/// must not have been picked and do not count.
inline double chi_square(const std::vector<std::uint64_t>& counts,
                         const std::vector<std::uint32_t>& weights) {
    double total = 0;
    double weight_sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        total += static_cast<double>(counts[i]);
        weight_sum += weights[i];
    }
    double sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        if (weights[i] == 0) continue;
        const double expected = total * weights[i] / weight_sum;
        const double off = static_cast<double>(counts[i]) - expected;
        sum += off * off / expected;
    }
    return sum;
}

}  // namespace penstock::balancer::testing
