#include "balancer/peak_ewma.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{std::chrono::hours(5)};

TEST(PeakEwma, knows_nothing_before_the_first_sample) {
    PeakEwma ewma;
    EXPECT_FALSE(ewma.average(start).has_value());
    ewma.record(0ns, start);
    EXPECT_TRUE(ewma.average(start).has_value()) << "even one of no time";
}

TEST(PeakEwma, averages) {
    struct Sample {
        Duration at;
        Duration took;
        bool failed = false;
    };
    struct Case {
        const char* what;
        std::vector<Sample> samples;
        Duration read_at;
        double average_us;
    };
    const double third = std::exp(-1);
    const Case cases[] = {
        {"the first counts whole", {{0s, 20ms}}, 0s, 20'000},
        {"above the average: at once", {{0s, 20ms}, {1ms, 50ms}}, 1ms, 50'000},
        {"a little above: at once", {{0s, 20ms}, {1ms, 20001us}}, 1ms, 20'001},
        {"below: by the time passed", {{0s, 20ms}, {10s, 10ms}}, 10s, 10'000 + 10'000 * third},
        {"below, no time passed: nothing", {{0s, 20ms}, {0s, 1ms}}, 0s, 20'000},
        {"in steps as at once",
         {{0s, 20ms}, {5s, 10ms}, {10s, 10ms}},
         10s,
         10'000 + 10'000 * third},
        {"decays without samples", {{0s, 20ms}}, 10s, 20'000 * third},
        {"and further", {{0s, 20ms}}, 100s, 20'000 * std::exp(-10)},
        {"decay was no sample", {{0s, 20ms}, {10s, 20ms}}, 10s, 20'000},
        {"what has decayed does not hide a peak",
         {{0s, 20ms}, {40s, 15ms}},
         40s,
         15'000 + 5'000 * std::exp(-4)},
        {"a failure counts as slow", {{0s, 1ms}, {1ms, 4s, true}}, 1ms, 4'000'000},
        {"as the first too", {{0s, 1s, true}}, 0s, 1'000'000},
        {"a failure never makes it look faster",
         {{0s, 9s}, {1ms, 1s, true}},
         1ms,
         9'000'000 * std::exp(-1e-4)},
        {"nor does a fast one", {{0s, 9s}, {90s, 1s, true}}, 90s, 1'000'000},
        {"a clock that is behind", {{0s, 20ms}}, -5ms, 20'000},
        {"a sample of a clock that is behind", {{0s, 20ms}, {-3ms, 1ms}}, 0s, 20'000},
    };
    for (const auto& c : cases) {
        PeakEwma ewma;
        for (const auto& sample : c.samples) {
            if (sample.failed)
                ewma.fail(start + sample.at, sample.took);
            else
                ewma.record(sample.took, start + sample.at);
        }
        const auto average = ewma.average(start + c.read_at);
        ASSERT_TRUE(average.has_value()) << c.what;
        EXPECT_NEAR(*average, c.average_us, c.average_us * 1e-3) << c.what;
    }
}

TEST(PeakEwma, the_millisecond_clock_may_wrap) {
    const TimePoint wraps{std::chrono::milliseconds(std::uint64_t{1} << 32)};
    PeakEwma ewma;
    ewma.record(20ms, wraps - 5s);
    EXPECT_NEAR(ewma.average(wraps + 5s).value(), 20'000 * std::exp(-1), 20);
}

}  // namespace
}  // namespace penstock::balancer
