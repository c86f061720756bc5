#include "health/probe/deadline.hpp"

#include <chrono>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>

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
    bool late = false;
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

// The clock of the timer is CLOCK_MONOTONIC, as TimePoint's.
void Deadline::wait(const std::shared_ptr<State>& state) {
    const auto since_epoch =
        std::chrono::ceil<std::chrono::steady_clock::duration>(state->at.time_since_epoch());
    state->timer.expires_at(std::chrono::steady_clock::time_point(since_epoch));
    state->timer.async_wait([state](const boost::system::error_code& error) {
        if (error || !state->on_expiry) return;
        const TimePoint now = SteadyClock().now();
        if (now - state->at > stall && !std::exchange(state->late, true)) {
            state->at = now + stall;
            return wait(state);
        }
        state->expired = true;
        std::exchange(state->on_expiry, nullptr)();
    });
}

}  // namespace penstock::health
