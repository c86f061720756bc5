#include "admin/events.hpp"

#include <algorithm>
#include <utility>

namespace penstock::admin {

void EventRing::add(Event event, WallTime now) {
    event.seq = next_++;
    event.time = now;
    events_.push_back(std::move(event));
    if (events_.size() > capacity) events_.pop_front();
    for (const auto& on_event : subscribers_) on_event();
}

std::vector<Event> EventRing::since(std::uint64_t seq) const {
    const auto first = std::ranges::upper_bound(events_, seq, {}, &Event::seq);
    return {first, events_.end()};
}

EventRing::Subscription EventRing::subscribe(std::function<void()> on_event) {
    return {this, subscribers_.insert(subscribers_.end(), std::move(on_event))};
}

EventRing::Subscription::Subscription(Subscription&& other) noexcept
    : ring_(std::exchange(other.ring_, nullptr)), place_(other.place_) {}

EventRing::Subscription::~Subscription() {
    if (ring_ != nullptr) ring_->subscribers_.erase(place_);
}

}  // namespace penstock::admin
