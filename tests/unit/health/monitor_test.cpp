#include "health/upstream_monitor.hpp"

#include <algorithm>
#include <future>
#include <optional>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "monitored.hpp"
#include "tests/support/shortage.hpp"
#include "tests/support/temp_dir.hpp"

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

// Whoever hears "ready" sends clients at once.
TEST(Monitor, first_verdicts_are_there_once_the_workers_know_the_backends_that_were_found) {
    const test::TempDir directory;
    config::Discovery list;
    list.type = config::DiscoveryType::file;
    list.path = directory.write("list", "10.0.0.1:80\n");
    Monitored found(0, {}, {list});
    // The thread that builds the set is held up, from before it is asked to.
    std::promise<void> builds;
    const auto may_build = builds.get_future().share();
    found.shared.on_backends = [&](const std::string&) {
        boost::asio::post(found.builder, [may_build] { may_build.wait(); });
    };
    found.monitor->start(found.plane);
    std::optional<std::size_t> available;
    boost::asio::co_spawn(found.context, found.monitor->first_verdicts(),
                          [&](std::exception_ptr) { available = found.plane.available(); });
    EXPECT_TRUE(found.until([&] { return found.probe->done > 0; }));
    found.context.restart();
    found.context.poll();
    builds.set_value();
    ASSERT_TRUE(found.until([&] { return available.has_value(); }));
    EXPECT_EQ(*available, 1U);
}

// An end of the process would be worse than weights of before.
TEST(Monitor, without_memory_for_another_hash_table_the_one_of_before_stays) {
    Monitored pair(2, {}, {}, config::Balance::maglev);
    pair.monitor->start(pair.plane);
    ASSERT_TRUE(pair.until([&] { return pair.plane.available() == 2; }));
    const auto before = pair.monitor->hash_checksum();
    {
        const test::Shortage shortage(1 << 16);
        ASSERT_TRUE(pair.monitor->override_backend("b0", {.weight = 5}));
        ASSERT_TRUE(pair.until([&] { return pair.log.says("there is not enough memory"); }));
        EXPECT_GT(test::Shortage::refused(), 0U);
    }
    EXPECT_EQ(pair.monitor->hash_checksum(), before);
    EXPECT_EQ(pair.plane.available(), 2U);
    ASSERT_TRUE(pair.monitor->override_backend("b1", {.weight = 3}));
    EXPECT_TRUE(pair.until([&] { return pair.monitor->hash_checksum() != before; }));
    EXPECT_EQ(pair.plane.available(), 2U);
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
