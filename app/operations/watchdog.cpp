#include "app/operations/watchdog.hpp"

#include <utility>

#include "app/server.hpp"

namespace penstock::app {

Watchdog::Watchdog(Server& server, Logger& log) : server_(server), log_(log) {
    for (std::size_t i = 0; i < server.workers().size(); ++i)
        pulses_.push_back(std::make_shared<Pulse>());
}

void Watchdog::beat(TimePoint now) {
    if (stopped_) return;
    for (std::size_t i = 0; i < pulses_.size(); ++i) {
        const auto& pulse = pulses_[i];
        if (!pulse->answered.load(std::memory_order_acquire)) {
            look_after(i, *pulse, now);
            continue;
        }
        if (std::exchange(pulse->told, false)) {
            tell_stack(i, *pulse);
            log_.info("worker {} answers again", i);
        }
        pulse->answered.store(false, std::memory_order_relaxed);
        pulse->asked = now;
        server_.workers()[i]->send(
            [pulse] { pulse->answered.store(true, std::memory_order_release); });
    }
}

// The answer about the stack is there by the next beat, or it will be long in coming.
void Watchdog::look_after(std::size_t worker, Pulse& pulse, TimePoint now) {
    if (pulse.told) return tell_stack(worker, pulse);
    if (now - pulse.asked < stuck_after) return;
    pulse.told = true;
    log_.error(
        "worker {} has not answered for {} s: its connections stand still, and /livez says so",
        worker, std::chrono::duration_cast<std::chrono::seconds>(now - pulse.asked).count());
    if (pulse.stack.ask(server_.thread_of(worker))) pulse.stack_state = Pulse::awaited;
}

void Watchdog::tell_stack(std::size_t worker, Pulse& pulse) {
    if (pulse.stack_state == Pulse::none) return;
    if (const auto stack = pulse.stack.take()) {
        pulse.stack_state = Pulse::none;
        log_.error("worker {} stood at {}", worker, *stack);
    } else if (pulse.stack_state == Pulse::awaited) {
        pulse.stack_state = Pulse::overdue;
        log_.error(
            "worker {} does not say where it stands: its thread does not run, in the kernel or "
            "held by a debugger",
            worker);
    }
}

Duration Watchdog::silent(std::size_t worker, TimePoint now) const noexcept {
    const Pulse& pulse = *pulses_[worker];
    if (stopped_ || pulse.answered.load(std::memory_order_acquire)) return Duration::zero();
    return now - pulse.asked;
}

}  // namespace penstock::app
