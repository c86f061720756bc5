#include "app/operations/watchdog.hpp"

#include <utility>

namespace penstock::app {

Watchdog::Watchdog(const proxy::Workers& workers, Logger& log) : workers_(workers), log_(log) {
    for (std::size_t i = 0; i < workers.size(); ++i) pulses_.push_back(std::make_shared<Pulse>());
}

void Watchdog::beat(TimePoint now) {
    if (stopped_) return;
    for (std::size_t i = 0; i < pulses_.size(); ++i) {
        const auto& pulse = pulses_[i];
        if (!pulse->answered.load(std::memory_order_acquire)) {
            if (now - pulse->asked >= stuck_after && !std::exchange(pulse->told, true))
                log_.error(
                    "worker {} has not answered for {} s: its connections stand still, and /livez "
                    "says so",
                    i,
                    std::chrono::duration_cast<std::chrono::seconds>(now - pulse->asked).count());
            continue;
        }
        if (std::exchange(pulse->told, false)) log_.info("worker {} answers again", i);
        pulse->answered.store(false, std::memory_order_relaxed);
        pulse->asked = now;
        workers_[i]->send([pulse] { pulse->answered.store(true, std::memory_order_release); });
    }
}

Duration Watchdog::silent(std::size_t worker, TimePoint now) const noexcept {
    const Pulse& pulse = *pulses_[worker];
    if (stopped_ || pulse.answered.load(std::memory_order_acquire)) return Duration::zero();
    return now - pulse.asked;
}

}  // namespace penstock::app
