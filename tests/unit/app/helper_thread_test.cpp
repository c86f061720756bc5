#include "app/helper_thread.hpp"

#include <csignal>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "app/own_signals.hpp"

namespace penstock::app {
namespace {

TEST(HelperThread, does_one_thing_after_the_other_and_not_here) {
    std::vector<int> done;
    std::thread::id there;
    std::promise<void> finished;
    HelperThread helper;
    for (int i = 0; i < 3; ++i) helper.run([&, i] { done.push_back(i); });
    helper.run([&] {
        there = std::this_thread::get_id();
        finished.set_value();
    });
    finished.get_future().wait();
    EXPECT_EQ(done, (std::vector{0, 1, 2}));
    EXPECT_NE(there, std::this_thread::get_id());
}

// Signals are the control thread's; the sandbox asks every thread by one.
TEST(HelperThread, leaves_signals_to_others) {
    std::promise<sigset_t> told;
    HelperThread helper;
    helper.run([&] {
        sigset_t blocked;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
        told.set_value(blocked);
    });
    const sigset_t blocked = told.get_future().get();
    EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
    EXPECT_EQ(sigismember(&blocked, SIGHUP), 1);
    EXPECT_EQ(sigismember(&blocked, every_thread_signal()), 0);
}

// What was not begun is destroyed, not run: nobody may come after that.
TEST(HelperThread, end_waits_for_what_is_under_way_and_begins_nothing) {
    std::promise<void> begun;
    std::promise<void> may_end;
    std::atomic<bool> has_ended = false;
    std::atomic<bool> second_ran = false;
    auto witness = std::make_shared<int>(1);
    {
        HelperThread helper;
        helper.run([&] {
            begun.set_value();
            may_end.get_future().wait();
            has_ended = true;
        });
        helper.run([&, witness] { second_ran = true; });
        begun.get_future().wait();
        std::thread releasing([&] { may_end.set_value(); });
        helper.end();
        EXPECT_TRUE(has_ended);
        helper.end();
        releasing.join();
    }
    EXPECT_FALSE(second_ran);
    EXPECT_EQ(witness.use_count(), 1);
}

TEST(HelperThread, end_does_not_wait_longer_than_it_is_told) {
    const auto soon = [] { return SteadyClock().now() + std::chrono::milliseconds(20); };
    std::promise<void> begun;
    std::promise<void> may_end;
    HelperThread helper;
    helper.run([&] {
        begun.set_value();
        may_end.get_future().wait();
    });
    begun.get_future().wait();
    EXPECT_FALSE(helper.end(soon()));
    EXPECT_FALSE(helper.end(soon())) << "again";
    may_end.set_value();
    EXPECT_TRUE(helper.end(SteadyClock().now() + std::chrono::minutes(1)));
    EXPECT_TRUE(helper.end(soon())) << "it has ended";
}

TEST(HelperThread, one_that_does_nothing_ends_at_once) {
    HelperThread helper;
    EXPECT_TRUE(helper.end(SteadyClock().now() + std::chrono::minutes(1)));
}

}  // namespace
}  // namespace penstock::app
