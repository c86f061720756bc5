#include "health/check/check_schedule.hpp"

#include <algorithm>

namespace penstock::health {

Duration random_part(Duration length, Random& random) noexcept {
    return Duration(
        static_cast<Duration::rep>(random.unit() * static_cast<double>(length.count())));
}

CheckSchedule::CheckSchedule(const config::HealthCheck& settings) noexcept
    : settings_(settings), backoff_(settings.down_interval.base, settings.down_interval.max) {}

void CheckSchedule::start(TimePoint now, Duration spread, Random& random) noexcept {
    running_ = false;
    backoff_.reset();
    next_ = now + random_part(spread, random);
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

void CheckSchedule::spread_missed(Duration late, TimePoint now, Random& random) noexcept {
    if (running_ || next_ > now) return;
    next_ = now + random_part(std::min(late, settings_.interval), random);
}

// A sign of life ends the row of failures, so that the pauses start over.
Duration CheckSchedule::next_interval(Pace pace, Random& random) noexcept {
    if (pace == Pace::down) return backoff_.next(random);
    backoff_.reset();
    return jittered(pace == Pace::steady ? settings_.interval : settings_.fast_interval, random);
}

Duration CheckSchedule::jittered(Duration interval, Random& random) const noexcept {
    const double factor = 1 + (random.unit() * 2 - 1) * settings_.jitter;
    return Duration(static_cast<Duration::rep>(static_cast<double>(interval.count()) * factor));
}

}  // namespace penstock::health
