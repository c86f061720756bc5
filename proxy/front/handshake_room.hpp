#pragma once

#include <cstddef>

#include <boost/intrusive/list.hpp>

#include "net/latch.hpp"

namespace penstock::proxy {

/// One who waits on this worker until fewer handshakes are under way; leaves when destroyed.
struct HandshakeWaiter
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    explicit HandshakeWaiter(net::Latch& latch) noexcept : wake_up(latch) {}
    net::Latch& wake_up;
};

/// Who waits on one worker for one of a listener's `max_handshakes`, in the order they came.
class HandshakeRoom {
public:
    void add(HandshakeWaiter& waiter) noexcept { waiting_.push_back(waiter); }
    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// Lets the first one try again.
    void wake_one(net::ReadyQueue& ready) noexcept {
        if (waiting_.empty()) return;
        HandshakeWaiter& first = waiting_.front();
        waiting_.pop_front();
        first.wake_up.wake(ready);
    }

private:
    boost::intrusive::list<HandshakeWaiter, boost::intrusive::constant_time_size<false>> waiting_;
};

}  // namespace penstock::proxy
