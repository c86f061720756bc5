#include "balancer/slow_start.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;
using testing::noon;

TEST(SlowStart, curves) {
    struct Case {
        double min_weight;
        double aggression;
        double progress;
        double share;
    };
    const Case cases[] = {
        {0.1, 1, 0, 0.1},     {0.1, 1, 0.05, 0.1},   {0.1, 1, 0.1, 0.1},   {0.1, 1, 0.5, 0.5},
        {0.1, 1, 0.99, 0.99}, {0.1, 1, 1, 1},        {0.1, 1, 7, 1},       {0.1, 2, 0.25, 0.5},
        {0.1, 2, 0.81, 0.9},  {0.1, 0.5, 0.5, 0.25}, {0.5, 0.5, 0.5, 0.5}, {0, 1, 0.75, 0.75},
        {0, 1, 0, 0},         {1, 1, 0, 1},
    };
    for (const auto& c : cases) {
        const SlowStart slow{100s, c.min_weight, c.aggression};
        const auto age = std::chrono::duration_cast<Duration>(c.progress * 100s);
        for (const std::uint32_t weight : {1U, 100U, 65535U}) {
            const auto expected = std::max(1.0, std::round(c.share * weight * weight_scale));
            EXPECT_NEAR(effective_weight(weight, age, slow), expected, 1)
                << weight << ' ' << c.min_weight << ' ' << c.aggression << ' ' << c.progress;
        }
    }
    EXPECT_EQ(effective_weight(0, 5s, {100s, 0.1, 1}), 0U);
    EXPECT_EQ(effective_weight(3, 0s, {}), 3 * weight_scale) << "off";
    EXPECT_EQ(effective_weight(1, -1s, {100s, 0.1, 1}), 26U) << "another worker's clock is ahead";
}

class SlowStartOf : public ::testing::TestWithParam<PolicyKind> {};
INSTANTIATE_TEST_SUITE_P(, SlowStartOf, ::testing::ValuesIn(testing::weighted_policies),
                         [](const auto& policy) { return testing::name_of(policy.param); });

// Four backends, the last ramps: its share of the picks, against weight / sum of weights.
TEST_P(SlowStartOf, B8_a_backend_that_recovers_gets_the_share_of_its_weight_so_far) {
    const auto set = testing::make_set(std::vector<testing::Member>(4));
    Selector selector(set, {.kind = GetParam(), .slow_start = {.window = 100s}}, 5);
    EXPECT_NEAR(static_cast<double>(testing::count_picks(selector, 40'000)[3]), 10'000, 500);
    selector.set_available(3, false);
    EXPECT_EQ(testing::count_picks(selector, 1000)[3], 0U);
    set->backend(3).start_slowly(noon);
    selector.set_available(3, true);
    for (const int percent : {0, 10, 20, 50, 80, 100, 300}) {
        const double weight = std::clamp(percent / 100.0, 0.1, 1.0);
        const auto counts = testing::count_picks(selector, 40'000, {}, noon + percent * 1s);
        EXPECT_NEAR(static_cast<double>(counts[3]), 40'000 * weight / (3 + weight), 500)
            << percent << " % of the window";
    }
}

TEST_P(SlowStartOf, a_ramp_is_noticed_without_a_verdict_and_by_new_selectors) {
    const auto set = testing::make_set(std::vector<testing::Member>(2));
    Selector old(set, {.kind = GetParam(), .slow_start = {.window = 10s}}, 5);
    testing::count_picks(old, 10);
    set->backend(1).start_slowly(noon);
    const auto later = noon + 200ms;
    const double expected = 11'000 * 0.1 / 1.1;
    EXPECT_NEAR(static_cast<double>(testing::count_picks(old, 11'000, {}, later)[1]), expected,
                150);
    Selector fresh(set, {.kind = GetParam(), .slow_start = {.window = 10s}}, 6);
    EXPECT_NEAR(static_cast<double>(testing::count_picks(fresh, 11'000, {}, later)[1]), expected,
                150);
    Selector off(set, {.kind = GetParam()}, 7);
    EXPECT_NEAR(static_cast<double>(testing::count_picks(off, 11'000, {}, later)[1]), 5500, 300);
}

TEST_P(SlowStartOf, the_only_backend_serves_whatever_its_weight) {
    const auto set = testing::make_set(std::vector<testing::Member>(1));
    set->backend(0).start_slowly(noon);
    Selector selector(set, {.kind = GetParam(), .slow_start = {.window = 100s, .min_weight = 0}},
                      5);
    EXPECT_EQ(testing::count_picks(selector, 100)[0], 100U);
}

TEST(SlowStart, first_passes_over_one_that_ramps_by_its_share) {
    const auto set = testing::make_set(std::vector<testing::Member>(3));
    set->backend(0).start_slowly(noon);
    Selector selector(set, {.kind = PolicyKind::first, .slow_start = {.window = 100s}}, 5);
    for (const int percent : {0, 50, 100}) {
        const auto counts = testing::count_picks(selector, 10'000, {}, noon + percent * 1s);
        EXPECT_NEAR(static_cast<double>(counts[0]), 10'000 * std::max(0.1, percent / 100.0), 200);
        EXPECT_EQ(counts[2], 0U);
    }
}

TEST(SlowStart, lasting_sessions_end_at_the_weights_though_one_began_later) {
    for (const PolicyKind kind : {PolicyKind::least_connections, PolicyKind::p2c}) {
        const auto set = testing::make_set(std::vector<testing::Member>(4));
        Selector selector(set, {.kind = kind, .slow_start = {.window = 100s}}, 5);
        selector.set_available(3, false);
        for (int n = 0; n < 300; ++n) set->backend(*testing::pick(selector)).session_started();
        set->backend(3).start_slowly(noon);
        selector.set_available(3, true);
        // Loaded alike for its weight: a tenth of the others' hundred, not a hundred at once.
        for (int n = 0; n < 20; ++n) set->backend(*testing::pick(selector)).session_started();
        EXPECT_LE(set->backend(3).active(), 12U) << testing::name_of(kind);
        for (int n = 0; n < 4000; ++n)
            set->backend(*testing::pick(selector, {}, noon + 200s)).session_started();
        for (std::size_t i = 0; i < 4; ++i)
            EXPECT_NEAR(set->backend(i).active(), 1080, 5) << testing::name_of(kind);
    }
}

}  // namespace
}  // namespace penstock::balancer
