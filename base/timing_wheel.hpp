#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"

namespace penstock {

class TimingWheel;

/// Something with one deadline. Intrusive: filing allocates nothing. Must be unfiled (cancelled or
/// expired) when it is destroyed. One owner thread.
class Timer {
public:
    Timer() = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    [[nodiscard]] bool filed() const noexcept { return place_ != nowhere; }

protected:
    virtual ~Timer();
    /// Called by TimingWheel::advance() after the timer was unfiled; may file it again, and may
    /// cancel or destroy any timer.
    virtual void on_timer(TimePoint now) = 0;

private:
    friend class TimingWheel;
    Timer* next_ = nullptr;
    Timer* prev_ = nullptr;
    std::uint64_t tick_ : 55 = 0;  // absolute tick of expiry
    std::uint64_t place_ : 9 = nowhere;  // index of the list that holds it
    static constexpr unsigned nowhere = 511;
};

/// Hierarchical timing wheel (Varghese and Lauck, 1987): seven levels of 64 slots of 8 ms ticks.
/// File and cancel are O(1); next_wake_up() looks at one bitmap per level, so that an idle loop
/// sleeps until the next occupied slot. A timer never fires early, and at most one tick plus the
/// caller's own delay late. One owner thread.
class TimingWheel {
public:
    static constexpr Duration resolution = std::chrono::milliseconds(8);

    explicit TimingWheel(TimePoint now) noexcept;
    TimingWheel(const TimingWheel&) = delete;
    TimingWheel& operator=(const TimingWheel&) = delete;
    ~TimingWheel();

    /// Files or re-files `timer`; no_deadline cancels it. A deadline in the past fires at the next
    /// advance().
    void file(Timer& timer, TimePoint deadline) noexcept;
    void cancel(Timer& timer) noexcept;

    /// Fires what is due at `now`, at most `limit` timers; returns how many. If more are due,
    /// next_wake_up() is not later than `now`.
    std::size_t advance(TimePoint now, std::size_t limit = 256);

    /// When advance() has work at the earliest; no_deadline if nothing is filed. It may name the
    /// moment at which a far slot must be sorted into nearer ones.
    [[nodiscard]] TimePoint next_wake_up() const noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    static constexpr unsigned levels = 7;
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slots = 1U << slot_bits;
    static constexpr unsigned due_place = levels * slots;
    static constexpr std::uint64_t no_tick = ~std::uint64_t{0};

    struct List {
        Timer* first = nullptr;
        Timer* last = nullptr;
    };
    struct Slot {
        unsigned level;
        std::uint64_t tick;  // no_tick: nothing is filed
    };

    [[nodiscard]] std::uint64_t tick_not_before(TimePoint deadline) const noexcept;
    [[nodiscard]] TimePoint time_of(std::uint64_t tick) const noexcept;
    [[nodiscard]] Slot next_slot() const noexcept;
    void place(Timer& timer) noexcept;
    void link(Timer& timer, unsigned place) noexcept;
    void unlink(Timer& timer) noexcept;
    void sort_in(Slot slot) noexcept;

    TimePoint origin_;
    std::uint64_t now_tick_ = 0;
    std::size_t size_ = 0;
    std::array<std::uint64_t, levels> occupied_{};
    std::array<List, levels * slots + 1> lists_{};
};

}  // namespace penstock
