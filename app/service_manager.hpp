#pragma once

#include <algorithm>
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "config/interpolate.hpp"

/// What a service manager, systemd above all, and this process tell each other: sd_notify(3) and
/// sd_watchdog_enabled(3), without their library. Lines of one message are told at once:
/// `main_pid_line(pid) + "\nREADY=1"`.
namespace penstock::app {

/// `now` lets the manager know that the message is no older than its own order to reload.
[[nodiscard]] std::string reloading_lines(TimePoint now);
/// From now on that process is the service; only the one that was may say so.
[[nodiscard]] std::string main_pid_line(pid_t pid);

/// How often WATCHDOG=1 is due, which is half of the time after which the manager gives the
/// process up; nothing = never. `took_over`: this process was started by the one that the manager
/// has started, to take its place, and what was asked of that one is asked of this one.
[[nodiscard]] std::optional<Duration> watchdog_interval(const config::Environment& environment,
                                                        pid_t self, bool took_over);

/// When to look again whether the workers live. One that has stood still for a moment just then is
/// not to be taken for dead because the next sign of life comes too late.
[[nodiscard]] constexpr Duration next_ping(Duration interval, bool all_answer) noexcept {
    return all_answer ? interval : std::min<Duration>(interval, std::chrono::seconds(1));
}

/// Where the manager listens; nothing = there is none, or it cannot be reached in this way.
[[nodiscard]] std::optional<Endpoint> notify_socket(const config::Environment& environment);

/// One message. Waits at most a second for a manager that is busy.
[[nodiscard]] Result<void> send_state(const Endpoint& to, std::string_view state) noexcept;

/// That of this process, as it was found at the start.
class ServiceManager {
public:
    /// There is none: nobody is told anything.
    ServiceManager() = default;
    /// `self`, `took_over`: as of watchdog_interval().
    ServiceManager(const config::Environment& environment, pid_t self, bool took_over)
        : socket_(notify_socket(environment)),
          watchdog_(app::watchdog_interval(environment, self, took_over)) {}

    [[nodiscard]] bool listens() const noexcept { return socket_.has_value(); }
    [[nodiscard]] std::optional<Duration> watchdog_interval() const noexcept { return watchdog_; }
    /// Any thread. Whether it is heard is up to the manager.
    void notify(std::string_view state) const noexcept {
        if (socket_) static_cast<void>(send_state(*socket_, state));
    }

private:
    std::optional<Endpoint> socket_;
    std::optional<Duration> watchdog_;
};

}  // namespace penstock::app
