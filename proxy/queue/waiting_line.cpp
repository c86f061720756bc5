#include "proxy/queue/waiting_line.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace penstock::proxy {

WaitingLine::WaitingLine(std::size_t workers, std::uint32_t max_length, config::QueueOrder order)
    : max_length_(max_length), order_(order), called_(workers) {}

WaitingLine::~WaitingLine() { assert(!occupied()); }

bool WaitingLine::join(Waiter& waiter, TimePoint now) {
    const std::scoped_lock lock(mutex_);
    const bool again = waiter.ticket_ != 0;
    if (!again) {
        if (occupied_.load() >= max_length_) return false;
        waiter.ticket_ = next_ticket_++;
    }
    if (waiter.place_ == Waiter::Place::out) occupied_.fetch_add(1);
    assert(waiter.place_ == Waiter::Place::out || waiter.place_ == Waiter::Place::trying);
    waiter.place_ = Waiter::Place::waiting;
    waiter.trying_ = false;
    if (waiting_.empty() && !again) standing_since_ = now;
    insert_by_ticket(waiter);
    waiting_count_.fetch_add(1);
    return true;
}

void WaitingLine::configure(std::uint32_t max_length, config::QueueOrder order) {
    const std::scoped_lock lock(mutex_);
    max_length_ = max_length;
    order_ = order;
}

// Newcomers belong to the end, called ones that came back near the end they were called from.
void WaitingLine::insert_by_ticket(Waiter& waiter) {
    if (waiting_.empty() || waiting_.back().ticket_ < waiter.ticket_)
        return waiting_.push_back(waiter);
    const bool near_front =
        waiter.ticket_ - waiting_.front().ticket_ < waiting_.back().ticket_ - waiter.ticket_;
    if (near_front || waiter.ticket_ < waiting_.front().ticket_) {
        const auto after = std::ranges::find_if(
            waiting_, [&](const Waiter& other) { return other.ticket_ > waiter.ticket_; });
        waiting_.insert(after, waiter);
    } else {
        const auto before =
            std::find_if(waiting_.rbegin(), waiting_.rend(),
                         [&](const Waiter& other) { return other.ticket_ < waiter.ticket_; });
        waiting_.insert(before.base(), waiter);
    }
}

bool WaitingLine::leave(Waiter& waiter) {
    const std::scoped_lock lock(mutex_);
    const auto place = std::exchange(waiter.place_, Waiter::Place::out);
    waiter.trying_ = false;
    switch (place) {
        case Waiter::Place::out: return false;
        case Waiter::Place::waiting:
            waiting_.erase(waiting_.iterator_to(waiter));
            waiting_count_.fetch_sub(1);
            break;
        case Waiter::Place::called: {
            List& list = called_[waiter.worker_];
            list.erase(list.iterator_to(waiter));
            break;
        }
        case Waiter::Place::trying: break;
    }
    occupied_.fetch_sub(1);
    return place != Waiter::Place::waiting;
}

std::optional<unsigned> WaitingLine::call_next(TimePoint now) {
    if (waiting_count_.load() == 0) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    if (waiting_.empty()) return std::nullopt;
    Waiter& next = newest_first(now) ? waiting_.back() : waiting_.front();
    waiting_.erase(waiting_.iterator_to(next));
    waiting_count_.fetch_sub(1);
    next.place_ = Waiter::Place::called;
    called_[next.worker_].push_back(next);
    return next.worker_;
}

Waiter* WaitingLine::take_called(unsigned worker) {
    const std::scoped_lock lock(mutex_);
    List& list = called_[worker];
    if (list.empty()) return nullptr;
    Waiter& next = list.front();
    list.pop_front();
    next.place_ = Waiter::Place::trying;
    next.trying_ = true;
    return &next;
}

bool WaitingLine::newest_first(TimePoint now) const noexcept {
    return order_ == config::QueueOrder::adaptive_lifo && now - standing_since_ >= standing_after;
}

}  // namespace penstock::proxy
