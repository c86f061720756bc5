#include <atomic>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/proxy/running_worker.hpp"

// What a worker does with health's verdicts, and what it tells health.
namespace penstock::proxy {
namespace {

using balancer::Failure;
using net::UniqueFd;

void reset(UniqueFd fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

config::Upstream one_attempt() {
    config::Upstream upstream;
    upstream.attempts = 1;
    return upstream;
}

std::shared_ptr<balancer::Snapshot> nobody(const RunningWorker& running) {
    auto snapshot = std::make_shared<balancer::Snapshot>(running.first->set);
    snapshot->views[0].available = balancer::Bitmap(snapshot->set->size());
    return snapshot;
}

class Outcome : public testing::Test {
protected:
    [[nodiscard]] balancer::OutcomeTotals totals() { return backend().outcomes().totals(); }
    [[nodiscard]] balancer::Backend& backend() { return *running.all[0]; }

    RunningWorker running{{}, one_attempt()};
};

TEST_F(Outcome, the_first_byte_of_a_backend_is_a_success) {
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(client, server));
    EXPECT_EQ(totals().successes, 0U);
    ASSERT_TRUE(arrives(server, client));
    EXPECT_TRUE(running.wait_until([&] { return totals().successes == 1; }));
    ASSERT_TRUE(arrives(server, client));
    ASSERT_TRUE(arrives(client, server));
    EXPECT_EQ(totals().successes, 1U);
}

TEST_F(Outcome, a_clean_end_is_a_success_though_no_byte_came) {
    UniqueFd client = running.connect();
    UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(client, server));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(end_of(server), End::fin);
    server.reset();
    EXPECT_EQ(end_of(client), End::fin);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(totals().successes, 1U);
}

TEST_F(Outcome, B3_a_reset_before_the_first_byte_is_a_failure) {
    const UniqueFd client = running.connect();
    reset(running.accept_backend());
    EXPECT_EQ(end_of(client), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(totals().failures[std::to_underlying(Failure::early_reset)], 1U);
    EXPECT_EQ(totals().consecutive, 1U);
}

TEST_F(Outcome, a_reset_after_the_first_byte_is_none) {
    const UniqueFd client = running.connect();
    UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(server, client));
    reset(std::move(server));
    EXPECT_EQ(end_of(client), End::reset);
    EXPECT_EQ(totals().failed(), 0U);
    EXPECT_EQ(totals().successes, 1U);
}

TEST(OutcomeOff, an_early_reset_counts_only_where_it_is_wanted) {
    config::Upstream upstream = one_attempt();
    upstream.circuit_breaker.early_reset_counts = false;
    RunningWorker running({}, upstream);
    const UniqueFd client = running.connect();
    reset(running.accept_backend());
    EXPECT_EQ(end_of(client), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    const auto totals = running.all[0]->outcomes().totals();
    EXPECT_EQ(totals.failed(), 0U);
    EXPECT_EQ(totals.successes, 0U);
}

TEST_F(Outcome, a_refused_attempt_is_a_failure_and_the_row_ends_with_a_success) {
    running.backend_listeners[0].reset();
    EXPECT_EQ(end_of(running.connect()), End::reset);
    EXPECT_EQ(end_of(running.connect()), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(totals().failures[std::to_underlying(Failure::refused)], 2U);
    EXPECT_EQ(totals().consecutive, 2U);
    EXPECT_FALSE(backend().outcomes().succeeded(backend().circuit().observe()));
    EXPECT_EQ(totals().consecutive, 0U);
}

TEST_F(Outcome, a_client_that_leaves_says_nothing_and_gives_its_trial_back) {
    backend().circuit().half_open(1);
    UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(server);
    EXPECT_EQ(totals().trials.left, 0U);
    reset(std::move(client));
    EXPECT_EQ(end_of(server), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(totals().trials.left, 1U);
    EXPECT_EQ(totals().failed() + totals().successes, 0U);
}

TEST_F(Outcome, who_waits_for_a_trial_gets_the_one_that_comes_back) {
    backend().circuit().half_open(1);
    UniqueFd first = running.connect();
    const UniqueFd server = running.accept_backend();
    const UniqueFd second = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return running.upstream->anybody_waits(); }));
    reset(std::move(first));
    EXPECT_EQ(end_of(server), End::reset);
    const UniqueFd next = running.accept_backend();
    ASSERT_TRUE(next);
    EXPECT_TRUE(arrives(second, next));
}

TEST(OutcomeAlarm, is_raised_when_the_row_is_long_enough_and_when_a_trial_has_ended) {
    std::atomic<int> alarms{0};
    RunningWorker running({}, one_attempt());
    balancer::Backend& backend = *running.all[0];
    running.on_worker([&] {
        running.shared.on_alarm = [&](const std::shared_ptr<UpstreamShared>& of,
                                      const balancer::Backend& which) {
            EXPECT_EQ(of, running.upstream);
            EXPECT_EQ(&which, running.all[0].get());
            ++alarms;
        };
        return 0;
    });
    backend.outcomes().set_alarm(3);
    for (int i = 1; i <= 5; ++i) {
        const UniqueFd client = running.connect();
        reset(running.accept_backend());
        EXPECT_EQ(end_of(client), End::reset);
        ASSERT_TRUE(running.wait_for_sessions(0));
        EXPECT_EQ(alarms, i < 3 ? 0 : 1);  // once, until somebody has looked
    }
    EXPECT_EQ(backend.outcomes().totals().consecutive, 5U);
    backend.circuit().half_open(1);
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(server, client));
    ASSERT_TRUE(running.wait_until([&] { return alarms == 2; }));
    EXPECT_EQ(backend.outcomes().totals().trials.succeeded, 1U);
}

TEST(Verdict, who_waits_when_nobody_is_available_any_more_is_refused_at_once) {
    config::Upstream upstream;
    upstream.max_connections = 1;
    upstream.queue.timeout = std::chrono::hours(1);
    RunningWorker running({}, upstream);
    const UniqueFd served = running.connect();
    const UniqueFd server = running.accept_backend();
    const UniqueFd waiting = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return running.upstream->anybody_waits(); }));
    running.adopt(nobody(running));
    EXPECT_EQ(end_of(waiting), End::reset);  // without a slot
    ASSERT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(CloseReason::no_backend), 1U);
    EXPECT_TRUE(arrives(served, server));
}

TEST(Verdict, roles_have_lanes_of_their_own) {
    config::Listener listener;
    listener.role = Role::primary;
    config::Upstream upstream;
    RunningWorker running(listener, upstream, 2);
    EXPECT_EQ(end_of(running.connect()), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::no_backend), 1U);
    for (const std::uint32_t primary : {1U, 0U}) {
        auto snapshot = std::make_shared<balancer::Snapshot>(running.first->set);
        snapshot->views[std::to_underlying(Role::primary)].available.set(primary);
        running.adopt(snapshot);
        const UniqueFd client = running.connect();
        const UniqueFd server = running.accept_backend(primary);
        EXPECT_TRUE(arrives(client, server));
    }
}

TEST(Verdict, D9_sessions_outlive_the_set_and_new_ones_go_to_the_new_one) {
    RunningWorker running;
    const UniqueFd old_client = running.connect();
    UniqueFd old_server = running.accept_backend();
    ASSERT_TRUE(arrives(old_client, old_server));
    running.add_backend("new");
    for (int round = 0; round < 3; ++round)
        running.adopt(
            std::make_shared<const balancer::Snapshot>(RunningWorker::make_set({running.all[1]})));
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend(1);
    EXPECT_TRUE(arrives(client, server));
    EXPECT_TRUE(arrives(old_client, old_server));
    EXPECT_EQ(running.all[0]->active(), 1U);
    const std::weak_ptr<balancer::Backend> left = running.all[0];
    running.all.erase(running.all.begin());
    running.first = nullptr;  // only the session needs it now
    EXPECT_FALSE(left.expired());
    EXPECT_TRUE(arrives(old_server, old_client));
    old_server.reset();
    EXPECT_EQ(end_of(old_client), End::fin);
}

TEST(Verdict, D9_a_set_that_changes_during_an_attempt_does_not_confuse_it) {
    config::Upstream upstream;
    upstream.balance = config::Balance::first;
    upstream.connect_timeout = std::chrono::milliseconds(200);
    RunningWorker running({}, upstream);
    ::listen(running.backend_listeners[0].get(), 0);
    std::vector<UniqueFd> fillers;  // SYNs beyond the backlog get no answer
    for (int i = 0; i < 2; ++i) fillers.push_back(running.connect());
    const UniqueFd client = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return running.all[0]->active() == 3; }));
    running.add_backend("new");
    running.adopt(std::make_shared<const balancer::Snapshot>(
        RunningWorker::make_set({running.all[1], running.all[0]})));
    const UniqueFd server = running.accept_backend(1);
    EXPECT_TRUE(server);
}

config::Upstream drained_in(Duration wait, Duration close_over) {
    config::Upstream upstream;
    upstream.drain = {wait, close_over};
    return upstream;
}

void end(RunningWorker& running, const health::EndSessions& which) {
    running.on_worker([&] {
        running.worker.end_sessions(which, running.settings.drain);
        return 0;
    });
}

TEST(EndSessions, at_once_means_now_and_only_that_backend) {
    config::Upstream upstream;
    upstream.balance = config::Balance::round_robin;
    RunningWorker running({}, upstream, 2);
    const UniqueFd a = running.connect();
    const UniqueFd b = running.connect();
    const UniqueFd first = running.accept_backend(0);
    const UniqueFd second = running.accept_backend(1);
    net::say(first, "1");
    net::say(second, "2");
    char from_a = 0;
    char from_b = 0;
    ASSERT_EQ(::recv(a.get(), &from_a, 1, 0), 1);
    ASSERT_EQ(::recv(b.get(), &from_b, 1, 0), 1);
    end(running, {.backend = running.all[0], .cause = health::EndCause::down, .at_once = true});
    EXPECT_EQ(end_of(from_a == '1' ? a : b), End::reset);
    EXPECT_EQ(end_of(first), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(CloseReason::backend_down), 1U);
    EXPECT_TRUE(arrives(second, from_a == '1' ? b : a));
}

TEST(EndSessions, one_that_comes_later_to_a_backend_that_is_down_stays) {
    RunningWorker running({}, drained_in(std::chrono::hours(1), {}));
    end(running, {.backend = running.all[0], .cause = health::EndCause::down, .at_once = true});
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    EXPECT_TRUE(arrives(client, server));
}

TEST(EndSessions, a_removed_backend_ends_by_fin_where_that_costs_nothing) {
    RunningWorker running({}, drained_in({}, std::chrono::seconds(3)));
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(client, server));
    end(running, {.backend = running.all[0], .cause = health::EndCause::removed});
    EXPECT_EQ(end_of(client), End::fin);
    EXPECT_EQ(end_of(server), End::fin);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::backend_removed), 1U);
}

TEST(EndSessions, kept_when_the_backend_is_back_in_time) {
    RunningWorker running({}, drained_in(std::chrono::milliseconds(100), {}));
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(client, server));
    running.on_worker([&] {
        for (const auto cause : {health::EndCause::down, health::EndCause::removed})
            running.worker.end_sessions({.backend = running.all[0], .cause = cause},
                                        running.settings.drain);
        running.worker.keep_sessions(*running.all[0], health::EndCause::down);
        return 0;
    });
    EXPECT_NE(end_of(client), End::nothing);  // the other cause stands
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::backend_down), 0U);
    EXPECT_EQ(running.closed(CloseReason::backend_removed), 1U);
}

TEST(EndSessions, only_those_that_asked_for_the_role_it_lost) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(arrives(client, server));
    end(running, {.backend = running.all[0],
                  .cause = health::EndCause::role_changed,
                  .asked = Role::primary,
                  .at_once = true});
    EXPECT_TRUE(arrives(server, client));
}

}  // namespace
}  // namespace penstock::proxy
