#include "app/operations/stack_probe.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include <pthread.h>

#include "app/own_signals.hpp"
#include "base/clock.hpp"

namespace penstock::app {
namespace {

using namespace std::chrono_literals;

/// A thread that waits until its end.
class Waiting {
public:
    explicit Waiting(bool hears_signals) {
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, stack_probe_signal());
        ::pthread_sigmask(hears_signals ? SIG_UNBLOCK : SIG_BLOCK, &only, nullptr);
        thread_ = std::thread([this] {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return ended_; });
        });
    }
    ~Waiting() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }
    [[nodiscard]] pthread_t handle() { return thread_.native_handle(); }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ended_ = false;
    std::thread thread_;
};

std::optional<std::string> answer_of(StackProbe& probe) {
    const auto deadline = SteadyClock().now() + 20s;
    auto answer = probe.take();
    while (!answer && SteadyClock().now() < deadline) {
        std::this_thread::yield();
        answer = probe.take();
    }
    return answer;
}

TEST(StackProbe, a_waiting_thread_tells_where_it_stands_as_often_as_it_is_asked) {
    Waiting thread(true);
    StackProbe probe;
    EXPECT_EQ(probe.take(), std::nullopt);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(probe.ask(thread.handle()));
        const auto answer = answer_of(probe);
        ASSERT_TRUE(answer);
        EXPECT_NE(answer->find("libc.so.6+0x"), std::string::npos) << *answer;
        EXPECT_NE(answer->find("app_operations_tests+0x"), std::string::npos) << *answer;
        EXPECT_EQ(probe.take(), std::nullopt) << "told once";
    }
}

TEST(StackProbe, one_that_owes_an_answer_is_not_asked_again) {
    Waiting deaf(false);
    StackProbe probe;
    EXPECT_TRUE(probe.ask(deaf.handle()));
    EXPECT_FALSE(probe.ask(deaf.handle()));
    EXPECT_EQ(probe.take(), std::nullopt);
}

TEST(StackProbe, an_answer_that_comes_late_is_taken_and_one_that_nobody_waits_for_does_no_harm) {
    for (const bool waits : {true, false}) {
        std::optional<StackProbe> probe(std::in_place);
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, stack_probe_signal());
        ::pthread_sigmask(SIG_BLOCK, &only, nullptr);
        ASSERT_TRUE(probe->ask(::pthread_self()));
        if (!waits) probe.reset();
        ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);  // the handler runs here
        EXPECT_TRUE(!waits || answer_of(*probe));
    }
}

TEST(StackProbe, signals_of_others_are_ignored) {
    Waiting thread(true);
    StackProbe probe;
    ASSERT_EQ(::pthread_kill(thread.handle(), stack_probe_signal()), 0);
    ASSERT_TRUE(probe.ask(thread.handle()));
    EXPECT_TRUE(answer_of(probe));
    EXPECT_EQ(probe.take(), std::nullopt);
}

}  // namespace
}  // namespace penstock::app
