#include "base/timing_wheel.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace penstock {

namespace {

constexpr std::uint64_t farthest = std::uint64_t{1} << 41;  // ticks: 557 years ahead
constexpr std::uint64_t tick_mask = (std::uint64_t{1} << 55) - 1;

}  // namespace

Timer::~Timer() { assert(!filed()); }

TimingWheel::TimingWheel(TimePoint now) noexcept : origin_(now) {}

TimingWheel::~TimingWheel() { assert(size_ == 0); }

std::uint64_t TimingWheel::tick_not_before(TimePoint deadline) const noexcept {
    if (deadline <= origin_) return 0;
    const Duration ahead = deadline - origin_;
    const auto ticks = static_cast<std::uint64_t>(ahead / resolution);
    return ticks + (ahead % resolution != Duration::zero() ? 1 : 0);
}

TimePoint TimingWheel::time_of(std::uint64_t tick) const noexcept {
    return origin_ + resolution * static_cast<Duration::rep>(tick);
}

void TimingWheel::file(Timer& timer, TimePoint deadline) noexcept {
    cancel(timer);
    if (deadline == no_deadline) return;
    timer.tick_ = std::min(tick_not_before(deadline), now_tick_ + farthest) & tick_mask;
    ++size_;
    place(timer);
}

void TimingWheel::cancel(Timer& timer) noexcept {
    if (!timer.filed()) return;
    unlink(timer);
    --size_;
}

// A timer stands at the level of the highest 6-bit group in which its tick differs from the current
// one. All groups above are equal then, so a lower level always expires before a higher one.
void TimingWheel::place(Timer& timer) noexcept {
    const std::uint64_t tick = timer.tick_;
    if (tick <= now_tick_) return link(timer, due_place);
    const auto highest = static_cast<unsigned>(63 - std::countl_zero(tick ^ now_tick_));
    const unsigned level = highest / slot_bits;
    assert(level < levels);
    const auto slot = static_cast<unsigned>((tick >> (level * slot_bits)) & (slots - 1));
    occupied_[level] |= std::uint64_t{1} << slot;
    link(timer, level * slots + slot);
}

void TimingWheel::link(Timer& timer, unsigned place) noexcept {
    List& list = lists_[place];
    timer.place_ = place & Timer::nowhere;
    timer.next_ = nullptr;
    timer.prev_ = list.last;
    (list.last != nullptr ? list.last->next_ : list.first) = &timer;
    list.last = &timer;
}

void TimingWheel::unlink(Timer& timer) noexcept {
    const auto place = static_cast<unsigned>(timer.place_);
    List& list = lists_[place];
    (timer.prev_ != nullptr ? timer.prev_->next_ : list.first) = timer.next_;
    (timer.next_ != nullptr ? timer.next_->prev_ : list.last) = timer.prev_;
    timer.next_ = timer.prev_ = nullptr;
    timer.place_ = Timer::nowhere;
    if (list.first == nullptr && place != due_place)
        occupied_[place / slots] &= ~(std::uint64_t{1} << (place % slots));
}

TimingWheel::Slot TimingWheel::next_slot() const noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        const unsigned shift = level * slot_bits;
        const auto current = static_cast<unsigned>((now_tick_ >> shift) & (slots - 1));
        // Slots up to the current one are empty by construction; bits above it lie ahead.
        const std::uint64_t ahead = occupied_[level] & ~((std::uint64_t{2} << current) - 1);
        if (ahead == 0) continue;
        const auto slot = static_cast<std::uint64_t>(std::countr_zero(ahead));
        const std::uint64_t above = now_tick_ >> (shift + slot_bits);
        return {level, (above << (shift + slot_bits)) | (slot << shift)};
    }
    return {0, no_tick};
}

void TimingWheel::sort_in(Slot slot) noexcept {
    now_tick_ = slot.tick;
    const auto index = static_cast<unsigned>((slot.tick >> (slot.level * slot_bits)) & (slots - 1));
    List& list = lists_[slot.level * slots + index];
    while (list.first != nullptr) {
        Timer& timer = *list.first;
        unlink(timer);
        place(timer);
    }
}

std::size_t TimingWheel::advance(TimePoint now, std::size_t limit) {
    const auto target =
        now <= origin_ ? 0 : static_cast<std::uint64_t>((now - origin_) / resolution);
    std::size_t fired = 0;
    for (;;) {
        while (Timer* timer = lists_[due_place].first) {
            if (fired == limit) return fired;
            cancel(*timer);
            ++fired;
            timer->on_timer(now);
        }
        const Slot next = next_slot();
        if (next.tick == no_tick || next.tick > target) break;
        sort_in(next);
    }
    now_tick_ = std::max(now_tick_, target);
    return fired;
}

TimePoint TimingWheel::next_wake_up() const noexcept {
    if (lists_[due_place].first != nullptr) return time_of(now_tick_);
    const Slot next = next_slot();
    return next.tick == no_tick ? no_deadline : time_of(next.tick);
}

}  // namespace penstock
