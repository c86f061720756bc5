#include "net/event_loop.hpp"

#include <algorithm>
#include <system_error>

namespace penstock::net {

namespace {

// After a stall, full batches of events are handled before deadlines, but not for ever.
constexpr unsigned max_turns_without_timers = 16;

}  // namespace

EventLoop::EventLoop(std::size_t buffer_cap_bytes)
    : buffers_(buffer_cap_bytes),
      scratch_(std::make_unique_for_overwrite<std::byte[]>(scratch_size)) {
    if (const auto error = poller_.add_wake_up(mailbox_.wake_up_fd()))
        throw std::system_error(error, "epoll_ctl");
}

EventLoop::~EventLoop() { destroy_retired(); }

void EventLoop::run() {
    while (!stopped_) turn();
}

void EventLoop::turn(Duration max_wait) {
    Duration wait = max_wait;
    if (!mailbox_.empty() || retired_ != nullptr || !background_.empty()) {
        wait = Duration::zero();
    } else if (const TimePoint wake_up = wheel_.next_wake_up(); wake_up != no_deadline) {
        wait = std::min(wait, std::max(wake_up - turn_ended_, Duration::zero()));
    }
    const int events = poller_.wait(wait);
    now_ = clock_.now();
    ready().run_batch();
    mailbox_.receive();
    run_timers(events);
    run_background();
    destroy_retired();
    // One reading serves as the end of this turn and the beginning of the next wait.
    turn_ended_ = clock_.now();
    if (observer_ != nullptr) observer_->on_turn(turn_ended_ - now_);
}

void EventLoop::run_timers(int events) {
    const bool more_events = events == Poller::max_batch;
    if (more_events && ++turns_without_timers_ < max_turns_without_timers) return;
    turns_without_timers_ = 0;
    wheel_.advance(now_, max_expiries_per_turn);
}

// At least one, so that a slow machine gets on as well.
void EventLoop::run_background() {
    if (background_.empty()) return;
    const TimePoint ends = clock_.now() + background_slice;
    do background_.run_one();
    while (!background_.empty() && clock_.now() < ends);
}

void EventLoop::retire(Retired* object) noexcept {
    object->next_retired_ = std::exchange(retired_, object);
}

void EventLoop::destroy_retired() noexcept {
    while (retired_ != nullptr) delete std::exchange(retired_, retired_->next_retired_);
}

}  // namespace penstock::net
