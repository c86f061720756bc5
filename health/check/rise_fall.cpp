#include "health/check/rise_fall.hpp"

#include <algorithm>

namespace penstock::health {

namespace {

constexpr RiseFall::State first_state(config::CheckInitial initial) noexcept {
    switch (initial) {
        case config::CheckInitial::up: return RiseFall::State::up;
        case config::CheckInitial::down: return RiseFall::State::down;
        case config::CheckInitial::check: break;
    }
    return RiseFall::State::pending;
}

}  // namespace

RiseFall::RiseFall(std::uint32_t rise, std::uint32_t fall, config::CheckInitial initial) noexcept
    : rise_(std::max(rise, 1U)), fall_(std::max(fall, 1U)), state_(first_state(initial)) {}

RiseFall::Change RiseFall::on_result(bool ok) noexcept {
    if (pending()) return turn(ok ? State::up : State::down);
    if (ok == up()) {
        turn(ok ? State::up : State::down);  // the row is broken
        return Change::none;
    }
    if (++against_ >= (ok ? rise_ : fall_)) return turn(ok ? State::up : State::down);
    state_ = ok ? State::rising : State::falling;
    return Change::none;
}

void RiseFall::configure(std::uint32_t rise, std::uint32_t fall) noexcept {
    rise_ = std::max(rise, 1U);
    fall_ = std::max(fall, 1U);
}

void RiseFall::restart() noexcept {
    state_ = State::pending;
    against_ = 0;
}

RiseFall::Change RiseFall::turn(State to) noexcept {
    state_ = to;
    against_ = 0;
    return to == State::up ? Change::went_up : Change::went_down;
}

}  // namespace penstock::health
