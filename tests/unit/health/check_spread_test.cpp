// When the checks of 1,000 backends start, seen from the network.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using testing::noon;

constexpr int crowd = 1000;

// Checks 1,000 backends, each check taking a millisecond.
class Crowd {
public:
    explicit Crowd(config::Upstream settings) : settings_(std::move(settings)) {}

    void add_all() {
        for (int n = 0; n < crowd; ++n) {
            const MemberId id = health_.add(
                {.backend = testing::backend(std::to_string(n)), .fresh = !ids_.empty()}, now_);
            ids_.push_back(id);
            file(id);
        }
    }
    // Until `end`; the start of each check.
    std::vector<TimePoint> run_until(TimePoint end, bool reachable) {
        std::vector<TimePoint> starts;
        while (due_.begin()->first < end) {
            const auto [at, id] = *due_.begin();
            due_.erase(due_.begin());
            starts.push_back(at);
            health_.on_probe_started(id, at);
            health_.on_probe(id, reachable ? testing::good() : testing::bad(), at + 1ms);
            file(id);
        }
        now_ = end;
        (void)health_.take_actions();
        return starts;
    }
    void stall(Duration late) {
        now_ += late;
        health_.on_stall(late, now_);
        due_.clear();
        for (const MemberId id : ids_) file(id);
    }
    [[nodiscard]] TimePoint now() const { return now_; }
    [[nodiscard]] UpstreamHealth& health() { return health_; }
    [[nodiscard]] const std::vector<MemberId>& ids() const { return ids_; }

private:
    void file(MemberId id) { due_.emplace(health_.next_probe(id), id); }

    config::Upstream settings_;
    UpstreamHealth health_{settings_, {}, 42};
    std::vector<MemberId> ids_;
    std::multimap<TimePoint, MemberId> due_;
    TimePoint now_ = noon;
};

std::vector<Duration> since(TimePoint begin, const std::vector<TimePoint>& starts) {
    std::vector<Duration> result;
    for (const TimePoint start : starts) result.push_back(start - begin);
    return result;
}

// Over the next interval the checks are spread evenly. That each backend is checked about once
// makes it more even than chance.
void expect_even(Crowd& all, const char* when) {
    const TimePoint begin = all.now();
    const auto starts = since(begin, all.run_until(begin + 2s, true));
    EXPECT_NEAR(static_cast<double>(starts.size()), crowd, crowd / 10) << when;
    EXPECT_LT(testing::chi_square(starts, 2s, 20), testing::chi_square_limit_20) << when;
}

std::size_t most_within(const std::vector<TimePoint>& starts, Duration length) {
    std::size_t most = 0;
    auto first = starts.begin();
    for (auto last = starts.begin(); last != starts.end(); ++last) {
        while (*last - *first >= length) ++first;
        most = std::max(most, static_cast<std::size_t>(last - first) + 1);
    }
    return most;
}

TEST(CheckSpread, first_checks_that_somebody_waits_for_come_within_fast_interval) {
    Crowd all(testing::checked());
    all.add_all();
    auto starts = since(noon, all.run_until(noon + 500ms, true));
    ASSERT_GE(starts.size(), static_cast<std::size_t>(crowd));
    EXPECT_TRUE(all.health().settled());
    const auto at_once = std::ranges::count(starts, 0ms);
    EXPECT_GE(at_once, 16);
    EXPECT_LE(at_once, 17);
}

TEST(CheckSpread, first_checks_are_uniform) {
    config::Upstream settings = testing::checked();
    for (const auto initial :
         {config::CheckInitial::check, config::CheckInitial::up, config::CheckInitial::down}) {
        settings.health_check.initial = initial;
        const bool urgent = initial == config::CheckInitial::check;
        UpstreamHealth health(settings, {}, 9);
        std::vector<Duration> first;
        for (int n = 0; n < crowd; ++n) {
            const MemberId id = health.add({.backend = testing::backend("a")}, noon);
            if (!urgent || n >= 16) first.push_back(health.next_probe(id) - noon);
        }
        EXPECT_LT(testing::chi_square(first, urgent ? Duration(500ms) : Duration(2s), 20),
                  testing::chi_square_limit_20);
    }
}

TEST(CheckSpread, after_the_first_load_nobody_keeps_step) {
    for (const auto initial : {config::CheckInitial::check, config::CheckInitial::up}) {
        config::Upstream settings = testing::checked();
        settings.health_check.initial = initial;
        Crowd all(settings);
        all.add_all();
        all.run_until(noon + 3s, true);
        expect_even(all, "after the first load");
    }
}

TEST(CheckSpread, a_thousand_added_by_a_reload_do_not_keep_step) {
    Crowd all(testing::checked());
    all.add_all();
    all.run_until(noon + 10s, true);
    all.add_all();
    const auto starts = all.run_until(noon + 10500ms, true);
    EXPECT_LE(most_within(starts, 10ms), 100U) << "no burst";
    all.run_until(noon + 13s, true);
    const TimePoint begin = all.now();
    const auto after = since(begin, all.run_until(begin + 2s, true));
    EXPECT_LT(testing::chi_square(after, 2s, 20), testing::chi_square_limit_20);
}

TEST(CheckSpread, after_a_cut_of_the_network_nobody_keeps_step) {
    for (const Duration cut : {Duration(5s), Duration(60s), Duration(10min)}) {
        Crowd all(testing::checked());
        all.add_all();
        all.run_until(noon + 20s, true);
        const auto during = all.run_until(all.now() + cut, false);
        EXPECT_LE(most_within(during, 10ms), 60U) << "no burst";
        EXPECT_FALSE(all.health().any_available(Role::none));
        const auto after = all.run_until(all.now() + 40s, true);
        EXPECT_LE(most_within(after, 10ms), 60U) << "no burst";
        for (const MemberId id : all.ids()) ASSERT_TRUE(all.health().status(id).up);
        expect_even(all, "after the cut");
    }
}

TEST(CheckSpread, R10_after_a_stall_nobody_keeps_step) {
    for (const Duration late : {Duration(150ms), Duration(2s), Duration(60s)}) {
        Crowd all(testing::checked());
        all.add_all();
        all.run_until(noon + 20s, true);
        all.stall(late);
        const auto starts = all.run_until(all.now() + 2s, true);
        EXPECT_LE(most_within(starts, 10ms), 60U) << "no burst";
        all.run_until(all.now() + 2s, true);
        expect_even(all, "after the stall");
    }
}

}  // namespace
}  // namespace penstock::health
