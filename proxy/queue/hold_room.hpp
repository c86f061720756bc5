#pragma once

#include <algorithm>
#include <cstddef>

#include <boost/intrusive/list.hpp>

#include "base/clock.hpp"

namespace penstock::proxy {

/// A session's place in a HoldRoom; leaves it when destroyed.
class Held : public boost::intrusive::list_base_hook<
                 boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {};

/// One worker's sessions that are kept while no backend of an upstream is available
/// (`no_backend = "hold"`). When one is again, they go on in the order they came, spread out, so
/// that a server that has just come back is not met by all of them at once. One worker.
class HoldRoom {
public:
    /// Two sessions of one worker go on this far apart, and all of them within `longest_spread`.
    static constexpr Duration step = std::chrono::milliseconds(2);
    static constexpr Duration longest_spread = std::chrono::seconds(2);

    void add(Held& held) noexcept { held_.push_back(held); }

    /// A backend is available again: `wake(held, when)` for each; they leave when they wake.
    template <typename Wake>
    void resume(TimePoint now, Wake wake) {
        const auto count = static_cast<Duration::rep>(std::distance(held_.begin(), held_.end()));
        const Duration apart = count == 0 ? step : std::min(step, longest_spread / count);
        TimePoint when = now;
        for (Held& held : held_) {
            wake(held, when);
            when += apart;
        }
    }

private:
    boost::intrusive::list<Held, boost::intrusive::constant_time_size<false>> held_;
};

}  // namespace penstock::proxy
