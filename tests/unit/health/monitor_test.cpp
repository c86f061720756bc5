#include "health/upstream_monitor.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "monitored.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using test::Recorder;
using testing::Monitored;

TEST(Monitor, nobody_is_available_before_the_first_verdict_and_many_verdicts_are_one_message) {
    Monitored all(50);
    EXPECT_EQ(all.monitor->first()->view(Role::none).available.count(), 0U);
    all.monitor->start(all.plane);
    bool waited = false;
    boost::asio::co_spawn(all.context, all.monitor->first_verdicts(),
                          [&](std::exception_ptr) { waited = true; });
    ASSERT_TRUE(all.until([&] { return waited; }));
    ASSERT_TRUE(all.until([&] { return all.plane.available() == 50; }));
    EXPECT_LT(all.plane.published, 40);
    EXPECT_EQ(all.monitor->backends().size(), 50U);
}

TEST(Monitor, at_most_so_many_checks_run_at_a_time) {
    Monitored all(400);
    all.probe->hang = true;
    all.monitor->start(all.plane);
    ASSERT_TRUE(all.until([&] { return all.probe->done > 400; }));
    EXPECT_LE(all.probe->most, static_cast<int>(CheckGate::most));
    EXPECT_GT(all.probe->most, static_cast<int>(CheckGate::most) / 2);
}

TEST(Monitor, a_backend_goes_down_and_comes_back_and_the_log_says_so) {
    Monitored one(1);
    one.monitor->start(one.plane);
    ASSERT_TRUE(one.until([&] { return one.plane.available() == 1; }));
    one.probe->up = false;
    ASSERT_TRUE(one.until([&] { return one.plane.available() == 0; }));
    one.probe->up = true;
    ASSERT_TRUE(one.until([&] { return one.plane.available() == 1; }));
    EXPECT_EQ(one.monitor->events().count(EventKind::check_down), 1U);
    EXPECT_GE(one.monitor->checks().failed, 3U);
    EXPECT_TRUE(std::ranges::any_of(one.log.lines, [](const std::string& line) {
        return line.find("upstream up: backend b0 is down") == 0 &&
               line.find("it says no") != line.npos;
    }));
}

TEST(Monitor, an_alarm_is_looked_at_at_once_and_the_circuit_turns) {
    Monitored pair(2, {.open_for = {1h, 1h}});
    pair.monitor->start(pair.plane);
    ASSERT_TRUE(pair.until([&] { return pair.plane.available() == 2; }));
    auto& backend = pair.plane.last->set->backend(0);
    bool alarm = false;
    for (int i = 0; i < 5; ++i)
        alarm =
            backend.outcomes().failed(backend.circuit().observe(), balancer::Failure::refused) ||
            alarm;
    EXPECT_TRUE(alarm);
    pair.monitor->on_alarm(&backend);
    EXPECT_EQ(backend.circuit().state(), balancer::CircuitState::open);
    ASSERT_TRUE(pair.until([&] { return pair.plane.available() == 1; }));
    pair.monitor->on_alarm(nullptr);  // of a backend that has left
}

TEST(Monitor, stops_in_the_middle_of_a_check) {
    Monitored one(3);
    one.probe->hang = true;
    one.monitor->start(one.plane);
    ASSERT_TRUE(one.until([&] { return one.probe->running == 3; }));
}

TEST(EventLog, B7_tells_the_first_ones_and_then_some) {
    Recorder log;
    EventLog events("up", log);
    TimePoint now{1h};
    for (int i = 0; i < 1000; ++i) {
        events.tell({EventKind::check_down, "a", "is down", true}, now);
        now += 200ms;  // 200 s in all
    }
    EXPECT_EQ(events.count(EventKind::check_down), 1000U);
    EXPECT_LE(log.lines.size(), 32U);
    EXPECT_GE(log.lines.size(), 20U);
    EXPECT_NE(log.lines.back().find("more like this since the last message"), std::string::npos);
    events.tell({EventKind::check_down, "b", "is down", true}, now);
    EXPECT_EQ(log.lines.back(), "upstream up: backend b is down");
    now += 1h;
    const auto before = log.lines.size();
    for (int i = 0; i < 5; ++i) events.tell({EventKind::check_down, "a", "is down", true}, now);
    EXPECT_EQ(log.lines.size(), before + 5);
}

}  // namespace
}  // namespace penstock::health
