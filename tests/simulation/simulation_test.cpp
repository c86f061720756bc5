// What the documentation says of the policies holds in the simulation, with bounds that no seed
// comes near.
#include "tests/simulation/simulation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace penstock::simulation {
namespace {

using balancer::PolicyKind;
using balancer::PolicyOptions;

class Simulation : public ::testing::TestWithParam<std::uint32_t> {
protected:
    static Result play(const PolicyOptions& policy) {
        Scenario scenario{.workers = GetParam()};
        scenario.runs = GetParam() == 1 ? 20 : 1;  // enough clients for a 99th percentile
        return simulate(scenario, policy, 1);
    }
};

TEST_P(Simulation, who_looks_at_load_beats_who_does_not) {
    const Result blind = play({PolicyKind::round_robin});
    EXPECT_GT(blind.wait_p99, std::chrono::milliseconds(500));  // the stall is felt
    for (const auto kind : {PolicyKind::p2c, PolicyKind::least_latency}) {
        const Result result = play({kind});
        EXPECT_LT(2 * result.wait_p99, blind.wait_p99);
        EXPECT_LT(2 * result.wait_mean, blind.wait_mean);
        EXPECT_LT(result.answer_p99, blind.answer_p99);
    }
}

TEST_P(Simulation, nobody_starves) {
    const Result equal = play({PolicyKind::round_robin});
    const double fair = 1.0 / static_cast<double>(equal.shares.size());
    for (const double share : equal.shares) EXPECT_NEAR(share, fair, 0.002);
    for (const auto kind : {PolicyKind::p2c, PolicyKind::least_latency}) {
        const Result result = play({kind});
        // A slow one does three fifths of the work of a fast one; after the stall, that one too.
        for (const double share : result.last_shares) EXPECT_GT(share, 0.3 * fair);
        for (std::size_t i = 0; i < 12; i += 3) {
            EXPECT_GT(result.shares[i], 1.05 * fair);
            EXPECT_LT(result.shares[i + 2], 0.95 * fair);
        }
    }
}

TEST_P(Simulation, bounded_load_takes_the_edge_off_hashing) {
    const Result unbounded = play({PolicyKind::maglev});
    const Result bounded = play({PolicyKind::maglev, 1.25});
    EXPECT_LT(2 * bounded.wait_p99, unbounded.wait_p99);
}

INSTANTIATE_TEST_SUITE_P(, Simulation, ::testing::Values(1U, 10U, 100U), [](const auto& instance) {
    return "workers_" + std::to_string(instance.param);
});

}  // namespace
}  // namespace penstock::simulation
