#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "app/operations/stack_probe.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"

namespace penstock::app {

class Server;

/// Asks every worker for a sign of life, and tells when one owes it for too long, and where it
/// stands. Whether that ends the process is for whoever has started it to say
/// (docs/operations.md). Control thread; the answers come from the workers.
class Watchdog {
public:
    static constexpr Duration stuck_after = std::chrono::seconds(2);

    /// Both must outlive the object, except for answers that come later.
    Watchdog(Server& server, Logger& log);

    /// Once a second while the workers run: looks at the answers, and asks again whoever has
    /// answered.
    void beat(TimePoint now);
    /// Nobody is asked any more: the workers end.
    void stop() noexcept { stopped_ = true; }

    /// How long the worker has owed an answer; zero if it owes none.
    [[nodiscard]] Duration silent(std::size_t worker, TimePoint now) const noexcept;
    [[nodiscard]] bool stuck(std::size_t worker, TimePoint now) const noexcept {
        return silent(worker, now) >= stuck_after;
    }

private:
    // Answers may come when the object is gone.
    struct Pulse {
        std::atomic<bool> answered{true};
        TimePoint asked{};
        bool told = false;  // that it is stuck
        StackProbe stack{};
        enum { none, awaited, overdue } stack_state = none;
    };

    void look_after(std::size_t worker, Pulse& pulse, TimePoint now);
    void tell_stack(std::size_t worker, Pulse& pulse);

    Server& server_;
    Logger& log_;
    std::vector<std::shared_ptr<Pulse>> pulses_;
    bool stopped_ = false;
};

}  // namespace penstock::app
