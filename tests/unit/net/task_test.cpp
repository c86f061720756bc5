#include "net/task.hpp"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "net/latch.hpp"

namespace penstock::net {
namespace {

struct Owner final : CoroutineOwner {
    void on_coroutine_failure(std::exception_ptr error) noexcept override {
        try {
            std::rethrow_exception(std::move(error));
        } catch (const std::exception& e) {
            failure = e.what();
        }
    }
    std::string failure;
    std::uint64_t result = 0;
    bool done = false;
};

Task<std::uint64_t> immediate(std::uint64_t value) { co_return value; }

Root sum_up(Owner& owner, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        auto task = immediate(i);
        owner.result += co_await task;
    }
    owner.done = true;
}

// Rule 8 of the latch: a task that ends at once must not grow the stack.
TEST(Task, ten_million_synchronous_tasks_need_no_stack) {
    Owner owner;
    constexpr std::uint64_t n = 10'000'000;
    sum_up(owner, n);
    EXPECT_TRUE(owner.done);
    EXPECT_EQ(owner.result, n * (n - 1) / 2);
}

Task<int> wait_for(Latch& latch) {
    co_await latch.wait(WaitRole::reader);
    co_return 7;
}

Root await_child(Owner& owner, Latch& latch) {
    auto task = wait_for(latch);
    owner.result = static_cast<std::uint64_t>(co_await task);
    owner.done = true;
}

TEST(Task, a_child_that_suspends_resumes_its_parent) {
    Owner owner;
    Latch latch;
    ReadyQueue ready;
    await_child(owner, latch);
    EXPECT_FALSE(owner.done);
    latch.set(ready);
    EXPECT_FALSE(owner.done) << "wake-ups go through the ready queue";
    ready.run_batch();
    EXPECT_TRUE(owner.done);
    EXPECT_EQ(owner.result, 7U);
}

Task<void> failing() {
    throw std::runtime_error("broken");
    co_return;
}

Root await_failing(Owner&) {
    auto task = failing();
    co_await task;
}

TEST(Task, an_exception_reaches_the_owner_of_the_root) {
    Owner owner;
    await_failing(owner);
    EXPECT_EQ(owner.failure, "broken");
}

Root wait_as(Owner&, Latch& latch, WaitRole role, int& woken) {
    co_await latch.wait(role);
    ++woken;
}

// Rule 5: with TLS both pumps may wait for the same direction of one socket.
TEST(Latch, has_one_waiter_per_role) {
    Owner owner;
    Latch latch;
    ReadyQueue ready;
    int woken = 0;
    wait_as(owner, latch, WaitRole::reader, woken);
    wait_as(owner, latch, WaitRole::writer, woken);
    latch.set(ready);
    ready.run_batch();
    EXPECT_EQ(woken, 2);
    EXPECT_FALSE(latch.has_waiter());
}

TEST(Latch, wake_resumes_without_making_it_ready) {
    Owner owner;
    Latch latch;
    ReadyQueue ready;
    int woken = 0;
    wait_as(owner, latch, WaitRole::reader, woken);
    latch.wake(ready);
    ready.run_batch();
    EXPECT_EQ(woken, 1);
    EXPECT_FALSE(latch.ready());
}

Root yield_often(Owner&, ReadyQueue& ready, std::string& trace, char name) {
    for (int i = 0; i < 3; ++i) {
        trace += name;
        co_await ready.yield();
    }
}

// Rule 10: who has used up its budget goes behind everybody else.
TEST(ReadyQueue, yielding_coroutines_take_turns) {
    Owner owner;
    ReadyQueue ready;
    std::string trace;
    yield_often(owner, ready, trace, 'a');
    yield_often(owner, ready, trace, 'b');
    while (!ready.empty()) ready.run_batch();
    EXPECT_EQ(trace, "ababab");
}

}  // namespace
}  // namespace penstock::net
