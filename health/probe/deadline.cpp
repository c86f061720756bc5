#include "health/probe/deadline.hpp"

#include <chrono>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>

#include "net/asio_words.hpp"

namespace penstock::health {

struct Deadline::State {
    using Timer =
        boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                          boost::asio::wait_traits<std::chrono::steady_clock>,
                                          boost::asio::io_context::executor_type>;

    State(boost::asio::io_context& context, TimePoint when, std::function<void()> function)
        : timer(context), at(when), on_expiry(std::move(function)) {}

    Timer timer;
    TimePoint at;
    std::function<void()> on_expiry;  // empty: nobody is interested any more
    bool extended = false;
    bool expired = false;
};

Deadline::Deadline(boost::asio::io_context& context, TimePoint at, std::function<void()> on_expiry)
    : state_(std::make_shared<State>(context, at, std::move(on_expiry))) {
    if (at != no_deadline) wait(state_);
}

Deadline::~Deadline() {
    state_->on_expiry = nullptr;
    state_->timer.cancel();
}

bool Deadline::expired() const noexcept { return state_->expired; }

// The clock of the timer is CLOCK_MONOTONIC, as TimePoint's. A timer that has fired is set once
// more before anything is judged late. If the thread stood still, it gets `stall`. Otherwise it is
// set to now, which costs one more turn of the loop: Asio takes 128 events at a time in the order
// in which they came, but runs all timers that are due as soon as it meets one; what came before
// this second time is handled before it.
void Deadline::wait(const std::shared_ptr<State>& state) {
    state->timer.expires_at(net::to_asio(state->at));
    state->timer.async_wait([state](const boost::system::error_code& error) {
        if (error || !state->on_expiry) return;
        if (!std::exchange(state->extended, true)) {
            const TimePoint now = SteadyClock().now();
            state->at = now - state->at > stall ? now + stall : now;
            return wait(state);
        }
        state->expired = true;
        std::exchange(state->on_expiry, nullptr)();
    });
}

}  // namespace penstock::health
