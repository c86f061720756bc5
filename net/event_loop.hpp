#pragma once

#include <functional>

#include "base/clock.hpp"
#include "base/timing_wheel.hpp"
#include "net/buffer_pool.hpp"
#include "net/mailbox.hpp"
#include "net/pipe_pool.hpp"
#include "net/poller.hpp"

namespace penstock::net {

/// An object that events of the current batch may still name: destroyed at the end of the turn.
class Retired {
public:
    virtual ~Retired() = default;

private:
    friend class EventLoop;
    Retired* next_retired_ = nullptr;
};

/// Hears of each turn of a loop. The loop's thread.
class TurnObserver {
public:
    /// `busy`: from the events' arrival to the end of the turn.
    virtual void on_turn(Duration busy) noexcept = 0;

protected:
    ~TurnObserver() = default;
};

/// A worker's loop: waits for events until the next occupied wheel slot, then runs what became
/// ready, the mail, and the timers, in that order, so that after a stall ready I/O comes before any
/// deadline is judged. Runs on one thread; only send() may be called from others.
class EventLoop {
public:
    static constexpr std::size_t scratch_size = BufferPool::large;
    static constexpr std::size_t max_expiries_per_turn = 256;
    static constexpr Duration background_slice = std::chrono::milliseconds(1);

    /// Throws std::system_error. `buffer_cap_bytes` bounds what blocked writes may hold.
    explicit EventLoop(std::size_t buffer_cap_bytes);
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop();

    /// Before run(). `observer` must outlive the loop.
    void observe(TurnObserver& observer) noexcept { observer_ = &observer; }

    /// Turns until stop() was called on this thread.
    void run();
    void stop() noexcept { stopped_ = true; }
    /// One turn; waits at most `max_wait`. For run() and for tests.
    void turn(Duration max_wait = never);

    /// Any thread: runs `function` on the loop's thread.
    template <typename F>
    void send(F function) {
        mailbox_.send(make_mail(std::move(function)));
    }

    /// Time at which the current batch of events was received. Read once per turn.
    [[nodiscard]] TimePoint now() const noexcept { return now_; }
    [[nodiscard]] Poller& poller() noexcept { return poller_; }
    [[nodiscard]] ReadyQueue& ready() noexcept { return poller_.ready(); }
    /// Coroutines that have something expensive before them, a handshake: those who await
    /// `background().yield()` go on after all that was ready, one slice of time per turn, so that
    /// they slow down nobody who only relays.
    [[nodiscard]] ReadyQueue& background() noexcept { return background_; }
    [[nodiscard]] TimingWheel& wheel() noexcept { return wheel_; }
    [[nodiscard]] BufferPool& buffers() noexcept { return buffers_; }
    [[nodiscard]] PipePool& pipes() noexcept { return pipes_; }
    /// One read's worth of memory that nobody keeps over a suspension.
    [[nodiscard]] std::span<std::byte> scratch() noexcept { return {scratch_.get(), scratch_size}; }

    /// Destroys `object` at the end of this turn.
    void retire(Retired* object) noexcept;

private:
    void run_timers(int events);
    void run_background();
    void destroy_retired() noexcept;

    SteadyClock clock_;
    TimePoint now_ = clock_.now();
    Poller poller_;
    TimingWheel wheel_{now_};
    BufferPool buffers_;
    PipePool pipes_{wheel_};
    Mailbox mailbox_;
    std::unique_ptr<std::byte[]> scratch_;
    ReadyQueue background_;
    Retired* retired_ = nullptr;
    TurnObserver* observer_ = nullptr;
    TimePoint turn_ended_ = now_;
    unsigned turns_without_timers_ = 0;
    bool stopped_ = false;
};

}  // namespace penstock::net
