// An upstream's settings change while it serves: begin_change(), plan_change(), finish_change().
#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>

#include "monitored.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using testing::FakeProbe;
using testing::Monitored;

config::Backend listed(const std::string& name, std::uint16_t port) {
    config::Backend backend;
    backend.name = name;
    backend.address = Endpoint::ipv4({127, 0, 0, 1}, port);
    return backend;
}

/// Makes the steps of a change that Monitors and Reloader make.
class Changing : public Monitored {
public:
    using Monitored::Monitored;

    bool start() {
        monitor->start(plane);
        return until([&] { return plane.available() == settings.backends.size(); });
    }
    void begin() {
        auto fake = std::make_unique<FakeProbe>(context);
        fake->up = next_up;
        probe = fake.get();
        monitor->begin_change(std::make_shared<const config::Upstream>(settings), {},
                              std::move(fake));
        verdicts = false;
        boost::asio::co_spawn(context, monitor->first_verdicts(),
                              [this](std::exception_ptr) { verdicts = true; });
    }
    bool wait_for_verdicts() {
        return until([&] { return verdicts; });
    }
    void finish(const UpstreamMonitor::SetPlan& plan) {
        plane.publish(monitor->finish_change(plan.build()));
        monitor->follow_change();
    }
    bool change() {
        begin();
        if (!wait_for_verdicts()) return false;
        finish(monitor->plan_change());
        return true;
    }
    /// Of the set that counts: `b0 b1*`, those with a star are available.
    [[nodiscard]] std::string shown() const {
        std::string text;
        const auto& set = *plane.last->set;
        for (std::size_t i = 0; i < set.size(); ++i)
            text += (text.empty() ? "" : " ") + set.backend(i).name() +
                    (plane.last->view(Role::none).available.test(i) ? "*" : "");
        return text;
    }
    [[nodiscard]] int told(EventKind kind) const {
        return static_cast<int>(monitor->events().count(kind));
    }

    bool verdicts = false;
    bool next_up = true;
};

TEST(MonitorChange, a_replaced_backend_serves_until_the_new_one_has_its_verdict) {
    Changing one(1);
    std::vector<EventKind> heard;
    one.shared.on_event = [&](const std::string&, const Event& event) {
        if (event.kind == EventKind::backend_added || event.kind == EventKind::backend_left)
            heard.push_back(event.kind);
    };
    ASSERT_TRUE(one.start());
    const auto old = one.plane.last->set->share(0);
    one.plane.fewest = 99;
    one.settings.backends[0].address = Endpoint::ipv4({127, 0, 0, 1}, 2000);
    one.begin();
    EXPECT_EQ(one.plane.last->set->share(0), old) << "nothing has changed yet";
    ASSERT_TRUE(one.wait_for_verdicts());
    EXPECT_EQ(one.plane.last->set->share(0), old);
    EXPECT_TRUE(one.plane.ended.empty());
    one.finish(one.monitor->plan_change());
    EXPECT_EQ(one.shown(), "b0*");
    EXPECT_EQ(one.plane.last->set->backend(0).address().port(), 2000);
    EXPECT_EQ(one.plane.fewest, 1U) << "nobody was without a backend";
    ASSERT_EQ(one.plane.ended.size(), 1U);
    EXPECT_EQ(one.plane.ended[0].backend, old);
    EXPECT_EQ(one.plane.ended[0].cause, EndCause::removed);
    EXPECT_EQ(heard, (std::vector{EventKind::backend_added, EventKind::backend_left}));
}

TEST(MonitorChange, who_stays_is_the_same_backend_with_its_verdict) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    pair.probe->up = false;
    ASSERT_TRUE(pair.until([&] { return pair.plane.available() == 0; }));
    const auto before = pair.plane.last->set->share(1);
    pair.settings.attempts = 1;
    pair.settings.backends.erase(pair.settings.backends.begin());
    pair.next_up = false;
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.shown(), "b1");
    EXPECT_EQ(pair.plane.last->set->share(0), before);
    EXPECT_EQ(pair.told(EventKind::check_down), 2) << "and it is not told again";
    pair.probe->up = true;
    EXPECT_TRUE(pair.until([&] { return pair.plane.available() == 1; })) << "its checks go on";
}

TEST(MonitorChange, who_is_put_back_while_it_has_sessions_is_the_same) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    const auto with_sessions = pair.plane.last->set->share(0);
    const auto both = pair.settings.backends;
    pair.settings.backends.erase(pair.settings.backends.begin());
    ASSERT_TRUE(pair.change());
    ASSERT_EQ(pair.plane.ended.size(), 1U);
    EXPECT_EQ(pair.plane.ended[0].backend, with_sessions);
    pair.plane.kept.clear();
    pair.settings.backends = both;
    pair.settings.backends[0].max_connections = 7;
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.shown(), "b0* b1*");
    EXPECT_EQ(pair.plane.last->set->share(0), with_sessions);
    EXPECT_EQ(with_sessions->slots().limit(), 7U);
    EXPECT_EQ(std::ranges::count(pair.plane.kept, with_sessions), 1);
}

TEST(MonitorChange, who_is_put_back_without_anybody_left_is_new) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    const std::weak_ptr<const balancer::Backend> before = pair.plane.last->set->share(0);
    const auto both = pair.settings.backends;
    pair.settings.backends.erase(pair.settings.backends.begin());
    ASSERT_TRUE(pair.change());
    pair.plane.ended.clear();
    ASSERT_TRUE(pair.until([&] { return before.expired(); }));
    pair.settings.backends = both;
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.shown(), "b0* b1*");
}

TEST(MonitorChange, what_is_abandoned_has_never_been) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    ASSERT_TRUE(pair.monitor->override_backend("b1", {.weight = 5}));
    ASSERT_TRUE(pair.until([&] { return pair.plane.available() == 2; }));
    const auto overrides = pair.monitor->overrides();
    const auto kept = pair.plane.last->set->share(1);
    const auto before = pair.settings;
    FakeProbe* const its_probe = pair.probe;
    pair.settings.attempts = 7;
    pair.settings.backends[0].address = Endpoint::ipv4({127, 0, 0, 1}, 2000);
    pair.monitor->forget_override("b1", {.weight = true});
    pair.begin();
    ASSERT_TRUE(pair.wait_for_verdicts());
    static_cast<void>(pair.monitor->plan_change());
    pair.monitor->abandon_change({}, overrides);
    EXPECT_EQ(pair.monitor->settings().attempts, before.attempts);
    EXPECT_EQ(pair.monitor->overrides().at("b1").weight, 5U);
    const auto backends = pair.monitor->backends();
    ASSERT_EQ(backends.size(), 2U);
    EXPECT_EQ(backends[0].backend->address().port(), 1000);
    EXPECT_EQ(backends[1].backend, kept);
    its_probe->up = false;
    EXPECT_TRUE(pair.until([&] { return pair.plane.available() == 0; })) << "checked as before";
    its_probe->up = true;
    EXPECT_TRUE(pair.until([&] { return pair.plane.available() == 2; }));
    EXPECT_EQ(pair.plane.last->set->share(1), kept);
    // And the next one goes as any other.
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.shown(), "b0* b1*");
    EXPECT_EQ(pair.plane.last->set->backend(0).address().port(), 2000);
}

TEST(MonitorChange, who_comes_and_fails_its_check_gets_nobody) {
    Changing one(1);
    ASSERT_TRUE(one.start());
    one.plane.fewest = 99;
    one.settings.backends.push_back(listed("bad", 9));  // FakeProbe's bad port
    one.settings.backends.push_back(listed("good", 2001));
    ASSERT_TRUE(one.change());
    EXPECT_EQ(one.shown(), "b0* bad good*");
    EXPECT_EQ(one.plane.fewest, 1U);
    EXPECT_TRUE(one.plane.ended.empty());
}

TEST(MonitorChange, a_verdict_that_comes_while_the_set_is_built_counts) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    pair.settings.attempts = 1;
    pair.begin();
    ASSERT_TRUE(pair.wait_for_verdicts());
    const auto plan = pair.monitor->plan_change();
    pair.probe->up = false;
    ASSERT_TRUE(pair.until([&] { return pair.told(EventKind::check_down) == 2; }));
    pair.finish(plan);
    EXPECT_EQ(pair.shown(), "b0 b1");
}

TEST(MonitorChange, overrides_stay_on_top_until_they_are_forgotten) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    ASSERT_TRUE(pair.monitor->override_backend(
        "b0", {.state = config::BackendState::drain, .weight = 5, .by = "me"}));
    ASSERT_TRUE(pair.until([&] { return !pair.plane.last->set->ready(0); }));
    pair.settings.attempts = 1;
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.plane.last->set->weight(0), 5U);
    EXPECT_FALSE(pair.plane.last->set->ready(0));
    EXPECT_EQ(pair.shown(), "b0 b1*");
    // The file changes its weight.
    pair.settings.backends[0].weight = 3;
    pair.monitor->forget_override("b0", {.weight = true});
    ASSERT_TRUE(pair.change());
    EXPECT_EQ(pair.plane.last->set->weight(0), 3U);
    EXPECT_FALSE(pair.plane.last->set->ready(0));
    pair.settings.backends[0].state = config::BackendState::ready;
    pair.monitor->forget_override("b0", {.state = true});
    pair.settings.attempts = 2;
    ASSERT_TRUE(pair.change());
    EXPECT_TRUE(pair.plane.last->set->ready(0));
    EXPECT_TRUE(pair.monitor->overrides().empty());
    EXPECT_FALSE(pair.monitor->reset_backend("b0")) << "there is nothing to reset";
}

TEST(MonitorChange, hash_tables_come_with_the_policy) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    EXPECT_EQ(pair.monitor->hash_checksum(), 0U);
    pair.settings.balance = config::Balance::maglev;
    ASSERT_TRUE(pair.change());
    EXPECT_TRUE(pair.plane.last->set->has_maglev());
    EXPECT_NE(pair.monitor->hash_checksum(), 0U);
    EXPECT_EQ(pair.shown(), "b0* b1*");
}

config::Discovery in_file(const std::string& path) {
    config::Discovery discovery;
    discovery.type = config::DiscoveryType::file;
    discovery.path = path;
    discovery.removal_delay = 0s;
    return discovery;
}

TEST(MonitorChange, what_a_source_says_while_the_set_is_built_follows) {
    const test::TempDir directory;
    const std::string file = directory.write("list", "10.0.0.1:80\n");
    Changing found(0, {}, {in_file(file)});
    found.monitor->start(found.plane);
    ASSERT_TRUE(found.until([&] { return found.plane.available() == 1; }));
    found.settings.attempts = 1;
    found.begin();
    ASSERT_TRUE(found.wait_for_verdicts());
    const auto plan = found.monitor->plan_change();
    std::ofstream(file) << "10.0.0.1:80\n10.0.0.2:80\n";
    ASSERT_TRUE(found.until([&] { return found.monitor->discovery().list().size() == 2; }));
    found.finish(plan);
    ASSERT_TRUE(found.until([&] { return found.plane.available() == 2; }));
    EXPECT_EQ(found.shown(), "10.0.0.1:80* 10.0.0.2:80*");
}

TEST(MonitorChange, backends_of_a_source_that_is_gone_leave) {
    const test::TempDir directory;
    const std::string file = directory.write("list", "10.0.0.1:80\n10.0.0.2:80\n");
    Changing found(1, {}, {in_file(file)});
    found.monitor->start(found.plane);
    ASSERT_TRUE(found.until([&] { return found.plane.available() == 3; }));
    found.settings.discovery.clear();
    ASSERT_TRUE(found.change());
    EXPECT_EQ(found.shown(), "b0*");
    EXPECT_EQ(found.plane.ended.size(), 2U);
}

TEST(MonitorChange, checks_begin_and_end_with_the_settings) {
    Changing one(1);
    ASSERT_TRUE(one.start());
    one.settings.health_check.type = config::CheckType::none;
    one.monitor->begin_change(std::make_shared<const config::Upstream>(one.settings), {}, nullptr);
    one.finish(one.monitor->plan_change());
    EXPECT_EQ(one.shown(), "b0*");
    const auto done = one.monitor->checks().done;
    one.settings.health_check.type = config::CheckType::tcp;
    one.next_up = false;
    ASSERT_TRUE(one.change());
    ASSERT_TRUE(one.until([&] { return one.plane.available() == 0; }));
    EXPECT_GT(one.monitor->checks().done, done);
}

TEST(MonitorChange, an_upstream_that_leaves_ends_the_sessions_of_all_its_backends_and_stops) {
    Changing pair(2);
    ASSERT_TRUE(pair.start());
    pair.monitor->leave();
    EXPECT_EQ(pair.plane.ended.size(), 2U);
    for (const auto& ended : pair.plane.ended) EXPECT_EQ(ended.cause, EndCause::removed);
    ASSERT_TRUE(pair.until([&] { return pair.monitor->idle(); }));
    pair.monitor->leave();
    EXPECT_EQ(pair.plane.ended.size(), 2U);
}

TEST(MonitorChange, checks_expect_the_name_that_the_traffic_expects) {
    Changing one(1);
    ASSERT_TRUE(one.start());
    EXPECT_EQ(one.probe->verify_name, "127.0.0.1");
    one.settings.tls.emplace().server_name = "a.example";
    ASSERT_TRUE(one.change());
    ASSERT_TRUE(one.until([&] { return one.probe->verify_name == "a.example"; }));
}

TEST(MonitorChange, with_tls_a_backend_found_under_another_host_name_is_another_one) {
    for (const bool secure : {false, true}) {
        Changing one(0);
        if (secure) one.settings.tls.emplace();
        one.settings.backends = {listed("l@127.0.0.1:1000", 1000)};
        one.monitor->start(one.plane);
        ASSERT_TRUE(one.change());
        const auto before = one.monitor->backends().at(0).backend;
        EXPECT_EQ(before->host(), "");
        config::Backend named;
        named.name = "l";
        named.host = "localhost";
        named.host_port = 1000;
        one.settings.backends = {named};
        ASSERT_TRUE(one.change());
        const auto has = [&](const balancer::Backend& which) {
            return std::ranges::any_of(one.monitor->backends(), [&](const auto& status) {
                return status.backend.get() == &which;
            });
        };
        EXPECT_EQ(has(*before), !secure);
        EXPECT_EQ(one.monitor->backends().at(0).backend->host(), secure ? "localhost" : "");
    }
}

}  // namespace
}  // namespace penstock::health
