#pragma once

#include <cstdint>

#include "config/config.hpp"

namespace penstock::health {

/// The verdict of active checks on one backend: `fall` failures in a row take it down, `rise`
/// successes in a row bring it up. While its verdict is pending the first result decides alone.
/// Pure; one owner thread.
class RiseFall {
public:
    enum class State : std::uint8_t {
        pending,  // no verdict yet
        up,
        falling,  // up, but the last results were failures
        down,
        rising,  // down, but the last results were successes
    };
    enum class Change : std::uint8_t { none, went_up, went_down };

    /// `rise` and `fall` are at least 1.
    RiseFall(std::uint32_t rise, std::uint32_t fall, config::CheckInitial initial) noexcept;

    /// Whether the verdict is another one now; a first verdict is.
    Change on_result(bool ok) noexcept;
    /// From now on; the verdict stays.
    void configure(std::uint32_t rise, std::uint32_t fall) noexcept;
    /// The verdict is pending again: it was not checked for a while.
    void restart() noexcept;

    [[nodiscard]] State state() const noexcept { return state_; }
    [[nodiscard]] bool up() const noexcept {
        return state_ == State::up || state_ == State::falling;
    }
    [[nodiscard]] bool pending() const noexcept { return state_ == State::pending; }
    /// The verdict may change soon, or is not there yet: time for fast_interval.
    [[nodiscard]] bool transitional() const noexcept {
        return state_ != State::up && state_ != State::down;
    }
    /// Results in a row that speak against the verdict.
    [[nodiscard]] std::uint32_t against() const noexcept { return against_; }

private:
    Change turn(State to) noexcept;

    std::uint32_t rise_;
    std::uint32_t fall_;
    std::uint32_t against_ = 0;
    State state_;
};

}  // namespace penstock::health
