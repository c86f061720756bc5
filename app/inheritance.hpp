#pragma once

#include <expected>
#include <optional>
#include <string>

#include "app/admin_api.hpp"
#include "app/inherited_sockets.hpp"
#include "app/monitors.hpp"
#include "app/tls/ticket_key_book.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/upgrade/predecessor.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "config/interpolate.hpp"

namespace penstock::app {

/// What this process gets from whoever has started it: sockets of a service manager, or all that
/// the process before it leaves. Before there are other threads.
class Inheritance {
public:
    /// Nothing inherited: the demo.
    Inheritance() = default;
    /// Takes it out of the environment. Waits for the process before this one, if there is one. The
    /// error is for the user; the other process knows it, too.
    [[nodiscard]] static std::expected<Inheritance, std::string> take(
        const config::Environment& environment);

    [[nodiscard]] bool takes_over() const noexcept { return predecessor_.has_value(); }
    [[nodiscard]] InheritedSockets& sockets() noexcept { return sockets_; }
    [[nodiscard]] AdminApi::Inherited take_admin_sockets() noexcept {
        return std::move(admin_sockets_);
    }
    /// What operators have changed of backends, unless `config` says something else of that very
    /// thing than the file of the process before this one.
    void restore_overrides(Monitors& monitors, const config::Config& config, Logger& log) const;
    void restore(Service& service) const;
    /// What seals session tickets. Once.
    void restore_tickets(TicketKeyBook& tickets);

    /// This process accepts: from now on the other one does not. It, and those before it, are known
    /// to `old` from now on.
    void say_ready(upgrade::OldProcesses& old, Service& service, Logger& log);
    /// Sockets that no listener has taken: those of a service manager. The others are closed, lest
    /// their clients wait for ever.
    [[nodiscard]] InheritedSockets left_over(Logger& log);
    /// This process ends: the other one goes on.
    void say_failed(const std::string& reason) noexcept;

private:
    std::optional<upgrade::Predecessor> predecessor_;
    upgrade::Predecessor::Estate estate_;
    InheritedSockets sockets_;
    AdminApi::Inherited admin_sockets_;
};

}  // namespace penstock::app
