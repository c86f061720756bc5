#include "health/circuit/outcome_window.hpp"

#include <algorithm>

namespace penstock::health {

OutcomeWindow::OutcomeWindow(Duration window) noexcept
    : window_(window), length_(std::max(window / buckets, Duration(1))) {}

void OutcomeWindow::add(Sums more, TimePoint now) noexcept {
    advance(now);
    Sums& current = bucket();
    current.successes += more.successes;
    current.failures += more.failures;
    total_.successes += more.successes;
    total_.failures += more.failures;
}

OutcomeWindow::Sums OutcomeWindow::sums(TimePoint now) noexcept {
    advance(now);
    return total_;
}

void OutcomeWindow::clear() noexcept {
    sums_.fill({});
    total_ = {};
}

// Empties the buckets whose time has passed; each of them at most once, however long it was quiet.
void OutcomeWindow::advance(TimePoint now) noexcept {
    const std::int64_t turn = now.time_since_epoch() / length_;
    if (turn - turn_ >= buckets) {
        clear();
        turn_ = turn;
    }
    while (turn_ < turn) {
        ++turn_;
        Sums& oldest = bucket();
        total_.successes -= oldest.successes;
        total_.failures -= oldest.failures;
        oldest = {};
    }
}

OutcomeWindow::Sums& OutcomeWindow::bucket() noexcept {
    return sums_[static_cast<std::size_t>(turn_ % buckets)];
}

}  // namespace penstock::health
