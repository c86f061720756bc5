#include "health/check/check_schedule.hpp"

#include <algorithm>
#include <utility>

namespace penstock::health {

Duration random_part(Duration length, Random& random) noexcept {
    return Duration(
        static_cast<Duration::rep>(random.unit() * static_cast<double>(length.count())));
}

CheckSchedule::CheckSchedule(const config::HealthCheck& settings) noexcept
    : settings_(settings), backoff_(settings.down_interval.base, settings.down_interval.max) {}

void CheckSchedule::start(TimePoint now, Duration spread, Random& random) noexcept {
    running_ = steady_ = false;
    backoff_.reset();
    next_ = now + random_part(spread, random);
}

void CheckSchedule::configure(TimePoint now, Random& random) noexcept {
    backoff_ = Backoff(settings_.down_interval.base, settings_.down_interval.max);
    if (next_ != no_deadline)
        next_ = std::min(next_, now + random_part(settings_.interval, random));
}

void CheckSchedule::stop() noexcept {
    running_ = false;
    next_ = no_deadline;
}

void CheckSchedule::on_started(TimePoint now) noexcept {
    running_ = true;
    started_ = now;
    next_ = no_deadline;
}

void CheckSchedule::on_ended(Pace pace, TimePoint now, Random& random) noexcept {
    running_ = false;
    next_ = std::max(now, deadline_after(started_, next_interval(pace, random)));
}

void CheckSchedule::on_stall(Duration late, TimePoint now, Random& random) noexcept {
    if (running_)
        started_ = std::min(now, started_ + late);
    else if (next_ <= now)
        next_ = now + random_part(std::min(late, settings_.interval), random);
}

// A sign of life ends the row of failures, so that the pauses start over.
Duration CheckSchedule::next_interval(Pace pace, Random& random) noexcept {
    const bool was_steady = std::exchange(steady_, pace == Pace::steady);
    if (pace == Pace::down) return backoff_.next(random);
    backoff_.reset();
    if (pace == Pace::transitional) return jittered(settings_.fast_interval, random);
    return was_steady ? jittered(settings_.interval, random)
                      : random_part(settings_.interval, random);
}

Duration CheckSchedule::jittered(Duration interval, Random& random) const noexcept {
    const double factor = 1 + (random.unit() * 2 - 1) * settings_.jitter;
    return Duration(static_cast<Duration::rep>(static_cast<double>(interval.count()) * factor));
}

}  // namespace penstock::health
