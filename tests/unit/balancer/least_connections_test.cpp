#include "balancer/least_connections.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

// The naive model: which backends have the lowest active / weight among those that may be picked.
std::vector<bool> least_loaded(const std::vector<std::uint32_t>& weights,
                               const std::vector<std::uint32_t>& active,
                               const std::vector<bool>& allowed) {
    double least = -1;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        if (!allowed[i]) continue;
        const double load = static_cast<double>(active[i]) / weights[i];
        if (least < 0 || load < least) least = load;
    }
    std::vector<bool> result(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i)
        result[i] = allowed[i] && static_cast<double>(active[i]) / weights[i] == least;
    return result;
}

TEST(LeastConnections, always_picks_one_that_the_naive_model_allows) {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        Random random(seed);
        std::vector<std::uint32_t> weights;
        for (std::uint32_t n = 1 + random.below(12); n > 0; --n) weights.push_back(random.below(6));
        const std::size_t size = weights.size();
        const auto set = testing::make_set_of_weights(weights);
        Selector selector(set, {.kind = PolicyKind::least_connections}, seed);
        std::vector<std::uint32_t> active(size);
        std::vector<bool> up(size, true);
        std::vector<std::uint32_t> sessions;

        for (int step = 0; step < 2000; ++step) {
            const auto any = random.below(static_cast<std::uint32_t>(size));
            switch (random.below(8)) {
                case 0:
                    up[any] = !up[any];
                    selector.set_available(any, up[any]);
                    break;
                case 1:
                case 2:
                case 3:
                    if (sessions.empty()) break;
                    std::swap(sessions[random.next() % sessions.size()], sessions.back());
                    set->backend(sessions.back()).session_ended();
                    --active[sessions.back()];
                    sessions.pop_back();
                    break;
                default: {
                    Bitmap tried(size);
                    if (random.below(3) == 0) tried.set(any);
                    std::vector<bool> allowed(size);
                    bool some = false;
                    for (std::size_t i = 0; i < size; ++i) {
                        allowed[i] = up[i] && weights[i] > 0 && !tried.test(i);
                        some = some || allowed[i];
                    }
                    const auto picked = testing::pick(selector, tried);
                    ASSERT_EQ(picked.has_value(), some);
                    if (!picked) break;
                    ASSERT_TRUE(least_loaded(weights, active, allowed)[*picked]) << "seed " << seed;
                    set->backend(*picked).session_started();
                    ++active[*picked];
                    sessions.push_back(*picked);
                }
            }
        }
    }
}

TEST(LeastConnections, idle_backends_take_turns_by_weight) {
    const auto set = testing::make_set_of_weights({5, 1, 1});
    Selector selector(set, {.kind = PolicyKind::least_connections}, 4);
    EXPECT_EQ(testing::count_picks(selector, 70), (std::vector<std::uint64_t>{50, 10, 10}));
}

TEST(LeastConnections, lasting_sessions_fill_up_exactly_by_weight) {
    const auto set = testing::make_set_of_weights({4, 2, 1});
    Selector selector(set, {.kind = PolicyKind::least_connections}, 4);
    for (int n = 0; n < 700; ++n) set->backend(*testing::pick(selector)).session_started();
    EXPECT_EQ(set->backend(0).active(), 400U);
    EXPECT_EQ(set->backend(1).active(), 200U);
    EXPECT_EQ(set->backend(2).active(), 100U);
}

TEST(LeastConnections, counts_near_the_limits_do_not_overflow) {
    const auto set = testing::make_set_of_weights({65535, 65535, 1});
    for (int n = 0; n < 100'000; ++n) set->backend(0).session_started();
    for (int n = 0; n < 99'999; ++n) set->backend(1).session_started();
    for (int n = 0; n < 2; ++n) set->backend(2).session_started();
    Selector selector(set, {.kind = PolicyKind::least_connections}, 4);
    EXPECT_EQ(testing::pick(selector), 1U);
}

}  // namespace
}  // namespace penstock::balancer
