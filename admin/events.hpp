#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"

namespace penstock::admin {

/// A change of state that an operator may want to know about.
struct Event {
    std::uint64_t seq = 0;  // given by the ring
    WallTime time{};
    std::string kind{};  // check, circuit, role, panic, reload, override, drain, limit, dns, ...
    std::string upstream{};  // what does not apply is empty
    std::string backend{};
    std::string listener{};
    std::string from{};
    std::string to{};
    std::string detail{};
    std::string actor{};  // who did it; "" = the proxy itself
};

/// The last events, numbered from 1. One thread.
class EventRing {
public:
    static constexpr std::size_t capacity = 1000;

    void add(Event event, WallTime now);
    /// Those with a number above `seq`, the oldest first.
    [[nodiscard]] std::vector<Event> since(std::uint64_t seq) const;
    [[nodiscard]] std::uint64_t last() const noexcept { return next_ - 1; }

    /// Called after each event, until the subscription goes.
    class Subscription;
    [[nodiscard]] Subscription subscribe(std::function<void()> on_event);

private:
    std::deque<Event> events_;
    std::uint64_t next_ = 1;
    std::list<std::function<void()>> subscribers_;
};

/// Must not outlive its ring.
class EventRing::Subscription {
public:
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&&) = delete;
    ~Subscription();

private:
    friend class EventRing;
    using Place = std::list<std::function<void()>>::iterator;
    Subscription(EventRing* ring, Place place) noexcept : ring_(ring), place_(place) {}

    EventRing* ring_;
    Place place_;
};

}  // namespace penstock::admin
