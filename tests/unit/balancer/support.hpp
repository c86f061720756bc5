#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "balancer/backend_set.hpp"
#include "balancer/policy.hpp"
#include "balancer/selector.hpp"

namespace penstock::balancer::testing {

/// Those that need no key.
inline constexpr PolicyKind all_policies[] = {
    PolicyKind::round_robin, PolicyKind::least_connections, PolicyKind::p2c,
    PolicyKind::random,      PolicyKind::least_latency,     PolicyKind::first};
/// Those that give idle backends their shares by weight.
inline constexpr PolicyKind weighted_policies[] = {PolicyKind::round_robin,
                                                   PolicyKind::least_connections, PolicyKind::p2c,
                                                   PolicyKind::random, PolicyKind::least_latency};

inline std::string name_of(PolicyKind kind) {
    switch (kind) {
        case PolicyKind::round_robin: return "round_robin";
        case PolicyKind::least_connections: return "least_connections";
        case PolicyKind::p2c: return "p2c";
        case PolicyKind::random: return "random";
        case PolicyKind::least_latency: return "least_latency";
        case PolicyKind::maglev: return "maglev";
        case PolicyKind::ring_hash: return "ring_hash";
        case PolicyKind::first: return "first";
    }
    return "?";
}

struct Member {
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    bool ready = true;
    BackendLimits limits{};
};

/// Backends named b0, b1, ... in the order given.
inline std::shared_ptr<const BackendSet> make_set(const std::vector<Member>& members,
                                                  const SetOptions& options = {}) {
    std::vector<BackendEntry> entries;
    for (const Member& member : members)
        entries.push_back({std::make_shared<Backend>(
                               "up", std::string("b").append(std::to_string(entries.size())),
                               Endpoint{}, member.limits),
                           member.weight, member.tier, member.ready});
    return std::make_shared<const BackendSet>(std::move(entries), options);
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

/// As Candidates::weights when nobody starts slowly.
inline std::vector<std::uint32_t> whole_weights(const BackendSet& set) {
    std::vector<std::uint32_t> weights;
    for (std::size_t i = 0; i < set.size(); ++i)
        weights.push_back(set.usable_weight(i) * weight_scale);
    return weights;
}

/// The moment of tests in which time does not matter.
inline constexpr TimePoint noon{std::chrono::hours(12)};

/// A pick without a warm connection; its permits are given back at once.
inline std::optional<std::uint32_t> pick(Selector& selector, const Bitmap& tried = {},
                                         TimePoint now = noon) {
    const auto picked = selector.pick({.tried = tried, .key = {}, .now = now});
    return picked ? std::optional(picked->index) : std::nullopt;
}

inline std::vector<std::uint64_t> count_picks(Selector& selector, std::size_t picks,
                                              const Bitmap& tried = {}, TimePoint now = noon) {
    std::vector<std::uint64_t> counts(selector.set().size());
    for (std::size_t n = 0; n < picks; ++n)
        if (const auto i = pick(selector, tried, now)) ++counts[*i];
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
