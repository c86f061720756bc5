#include "health/circuit/circuit_breaker.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "config/value.hpp"

namespace penstock::health {

using balancer::CircuitState;

CircuitBreaker::CircuitBreaker(const config::CircuitBreaker& settings, Duration connect_timeout,
                               const balancer::OutcomeTotals& counted) noexcept
    : settings_(settings),
      window_(settings.window),
      successes_(counted.successes),
      failures_(counted.failed()) {
    configure(connect_timeout);
}

void CircuitBreaker::configure(Duration connect_timeout) noexcept {
    trials_ = std::clamp(settings_.half_open_trials, 1U, balancer::Circuit::max_trials);
    trial_time_ = std::min<Duration>(connect_timeout, std::chrono::hours(1)) + trial_slack;
    if (window_.length() != settings_.window) window_ = OutcomeWindow(settings_.window);
}

CircuitBreaker::Wish CircuitBreaker::on_outcomes(const balancer::OutcomeTotals& totals,
                                                 TimePoint now, Random& random) {
    const OutcomeWindow::Sums more{totals.successes - successes_, totals.failed() - failures_};
    successes_ = totals.successes;
    failures_ = totals.failed();
    if (state_ == CircuitState::half_open) return on_trials(totals.trials, now);
    // dry_run: as long as it would be open, nothing would come in.
    if (state_ == CircuitState::open || now < quiet_until_) return Wish::nothing;
    window_.add(more, now);
    reached_ = threshold_reached(totals.consecutive, now);
    // An old row alone is no reason: what opens it is another failure.
    if (!reached_ || more.failures == 0) return Wish::nothing;
    if (!settings_.dry_run) return Wish::open;
    lengthen(now, random);
    row_since_ = quiet_until_ = now + open_time_;
    window_.clear();
    return Wish::would_open;
}

CircuitBreaker::Wish CircuitBreaker::on_trials(const balancer::Circuit::Trials& trials,
                                               TimePoint now) {
    if (trials.failed > 0) {
        cause_ = metrics::CircuitCause::trial_failed;
        reason_ = trials_ == 1 ? "its trial connection failed"
                               : fmt::format("{} of its trial connections failed", trials.failed);
        return Wish::open;
    }
    succeeded_ = std::min(trials.succeeded, permits_);
    if (kept_ + succeeded_ >= trials_) return Wish::close;
    // Each trial that is seen to begin has its full time, and none more than once.
    const std::uint32_t taken = permits_ - std::min(trials.left, permits_);
    if (taken > most_taken_) {
        most_taken_ = taken;
        until_ = deadline_after(now, trial_time_);
    }
    return Wish::nothing;
}

CircuitBreaker::Wish CircuitBreaker::on_timer(TimePoint now) const noexcept {
    return now >= until_ ? Wish::half_open : Wish::nothing;
}

void CircuitBreaker::open(TimePoint now, Random& random) noexcept {
    lengthen(now, random);
    state_ = CircuitState::open;
    until_ = now + open_time_;
    kept_ = succeeded_ = 0;
    reached_ = false;
    window_.clear();
}

void CircuitBreaker::half_open(TimePoint now) noexcept {
    state_ = CircuitState::half_open;
    kept_ += std::exchange(succeeded_, 0);
    permits_ = trials_wanted();
    most_taken_ = 0;
    until_ = deadline_after(now, trial_time_);
}

void CircuitBreaker::close(TimePoint now) noexcept {
    state_ = CircuitState::closed;
    until_ = no_deadline;
    kept_ = succeeded_ = 0;
    row_since_ = now;
    reached_ = false;
    window_.clear();
}

std::uint32_t CircuitBreaker::trials_wanted() const noexcept {
    return trials_ - std::min(kept_, trials_ - 1);
}

std::uint32_t CircuitBreaker::row(TimePoint now) noexcept {
    if (state_ == CircuitState::closed)
        for (; row_ > 0 && now - row_since_ >= time_of(row_); --row_) row_since_ += time_of(row_);
    return row_;
}

bool CircuitBreaker::threshold_reached(std::uint32_t in_a_row, TimePoint now) {
    if (settings_.consecutive_failures > 0 && in_a_row >= settings_.consecutive_failures) {
        cause_ = metrics::CircuitCause::consecutive_failures;
        reason_ = fmt::format("{} connections in a row failed", in_a_row);
        return true;
    }
    const OutcomeWindow::Sums sums = window_.sums(now);
    if (settings_.failure_rate <= 0 || sums.failures == 0 || sums.all() < settings_.min_samples)
        return false;
    if (static_cast<double>(sums.failures) / static_cast<double>(sums.all()) <
        settings_.failure_rate)
        return false;
    cause_ = metrics::CircuitCause::failure_rate;
    reason_ = fmt::format("{} of {} connections within {} failed", sums.failures, sums.all(),
                          config::format_duration(settings_.window));
    return true;
}

// min(max, base * 2^(row-1)), also where the product would overflow.
Duration CircuitBreaker::time_of(std::uint32_t row) const noexcept {
    const Duration max = settings_.open_for.max;
    Duration time = std::max(std::min(settings_.open_for.base, max), Duration(1));
    for (; row > 1 && time < max; --row) time = time > max / 2 ? max : time * 2;
    return time;
}

// One more opening in a row. At the limit the row stays, so that it can fall back again.
void CircuitBreaker::lengthen(TimePoint now, Random& random) noexcept {
    if (row(now) == 0 || time_of(row_) < settings_.open_for.max) ++row_;
    const auto most = static_cast<double>(settings_.open_for.max.count());
    const double time =
        std::min(static_cast<double>(time_of(row_).count()), most / (1 + max_jitter));
    open_time_ = Duration(static_cast<Duration::rep>(time * (1 + max_jitter * random.unit())));
}

}  // namespace penstock::health
