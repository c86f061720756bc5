#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace penstock::net {

/// Coroutines that may go on. Every wake-up goes through here, so that no coroutine runs inside the
/// call that woke it. One owner thread; allocates only when a batch is larger than all before.
class ReadyQueue {
public:
    ReadyQueue() {
        next_.reserve(usual_batch);
        running_.reserve(usual_batch);
    }

    void push(std::coroutine_handle<> h) { next_.push_back(h); }
    [[nodiscard]] bool empty() const noexcept { return next_.empty(); }

    /// Resumes what was queued before the call; what is queued meanwhile waits for the next batch.
    void run_batch() {
        running_.swap(next_);
        for (auto h : running_) h.resume();
        running_.clear();
    }

    /// Resumes the one that has waited longest; there must be one.
    void run_one() {
        const auto h = next_[first_++];
        // Those who went on leave, even if the queue is never empty.
        if (first_ >= usual_batch || first_ == next_.size()) {
            next_.erase(next_.begin(), next_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
        h.resume();
    }

    /// Suspends the caller to the back of the queue: for one that has used up its budget.
    auto yield() noexcept {
        struct Awaiter {
            ReadyQueue* queue;
            bool await_ready() const noexcept { return false; }
            void await_suspend(std::coroutine_handle<> h) const { queue->push(h); }
            void await_resume() const noexcept {}
        };
        return Awaiter{this};
    }

private:
    static constexpr std::size_t usual_batch =
        1024;  // two waiters for each of epoll's 256 events, twice

    std::vector<std::coroutine_handle<>> next_;
    std::size_t first_ = 0;  // of next_: run_one() has taken those before
    std::vector<std::coroutine_handle<>> running_;
};

/// Which coroutine of a session waits: with TLS a reader may wait until the socket is writable, and
/// both at once for the same direction.
enum class WaitRole : std::uint8_t { reader, writer };

/// Readiness of one direction of a descriptor: set by events, cleared by whoever saw EAGAIN or an
/// equivalent. Holds one waiter per role. Awaiting it allocates nothing.
class Latch {
public:
    [[nodiscard]] bool ready() const noexcept { return ready_; }
    void clear() noexcept { ready_ = false; }

    void set(ReadyQueue& queue) {
        ready_ = true;
        wake(queue);
    }
    /// Lets the waiters go on although nothing became ready: they check for an abort first.
    void wake(ReadyQueue& queue) {
        for (auto& waiter : waiters_)
            if (waiter) queue.push(std::exchange(waiter, {}));
    }
    [[nodiscard]] bool has_waiter() const noexcept { return waiters_[0] || waiters_[1]; }

    auto wait(WaitRole role) noexcept {
        struct Awaiter {
            Latch* latch;
            WaitRole role;
            bool await_ready() const noexcept { return latch->ready_; }
            void await_suspend(std::coroutine_handle<> h) const noexcept {
                latch->waiters_[static_cast<std::size_t>(role)] = h;
            }
            void await_resume() const noexcept {}
        };
        return Awaiter{this, role};
    }

private:
    std::array<std::coroutine_handle<>, 2> waiters_{};
    bool ready_ = false;
};

}  // namespace penstock::net
