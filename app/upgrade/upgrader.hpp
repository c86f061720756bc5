#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "admin/operations.hpp"
#include "app/admin_api.hpp"
#include "app/helper_thread.hpp"
#include "app/reload/reloader.hpp"
#include "app/server.hpp"
#include "app/service_manager.hpp"
#include "app/tls/ticket_key_book.hpp"
#include "app/upgrade/launcher.hpp"
#include "app/upgrade/new_process.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/upgrade/program.hpp"
#include "base/log.hpp"

namespace penstock::app::upgrade {

/// Replaces this process by one of the program that is on disk now. Until the new one accepts,
/// nothing changes here; whatever goes wrong ends the attempt, and this process goes on. From then
/// on this one accepts nobody, and tells the new one what it counts until its last session has
/// ended. Control thread.
class Upgrader {
public:
    struct Parts {
        boost::asio::io_context& context;
        Server& server;
        AdminApi& admin;
        Reloader& reloader;
        OldProcesses& old;
        const TicketKeyBook& ticket_keys;
        Logger& log;
        const ServiceManager& manager;
        Program program;
        Launcher* launcher;  // null in process 1, which cannot be upgraded
    };
    explicit Upgrader(Parts parts);
    Upgrader(const Upgrader&) = delete;
    Upgrader& operator=(const Upgrader&) = delete;

    [[nodiscard]] boost::asio::awaitable<admin::Outcome<admin::Upgraded>> upgrade(
        std::string actor);
    /// One that nobody waits for: a signal.
    void request(std::string actor);
    /// This process ends, or begins to drain for another reason: no upgrade any more.
    void stop();
    /// After stop(): from now on no other thread posts anything for it.
    bool join(TimePoint deadline = no_deadline) { return starter_.end(deadline); }

    /// Before any upgrade. Told when the new process accepts: this one has to let go of its sockets
    /// and drain.
    void on_replaced(std::function<void()> handler) { on_replaced_ = std::move(handler); }
    /// Before any upgrade. Told when the process that has taken over, or the one that has from that
    /// one, is gone, and no other has its place.
    void on_successor_gone(std::function<void()> handler) {
        on_successor_gone_ = std::move(handler);
    }
    /// What an operator changes now would be unknown to the new process.
    [[nodiscard]] bool busy() const noexcept { return busy_ || replaced_; }
    /// When the last sessions are ended at the latest; for the new process. The soonest counts.
    void drains_until(TimePoint deadline) noexcept { deadline_ = std::min(deadline_, deadline); }
    /// The last session has ended: the new process gets the last figures, if it listens within a
    /// good minute, or until stop().
    [[nodiscard]] boost::asio::awaitable<void> say_last_figures();

private:
    boost::asio::awaitable<std::expected<Ready, std::string>> replace();
    boost::asio::awaitable<std::expected<NewProcess, std::string>> start();
    /// Returns what to tell who asked.
    std::string fail(const std::string& reason, const std::string& actor);
    [[nodiscard]] std::optional<admin::Refusal> why_not() const;
    [[nodiscard]] Manifest make_manifest(OldProcesses::Handover& handover,
                                         std::vector<int>& fds) const;
    boost::asio::awaitable<bool> send_figures(TimePoint until);
    boost::asio::awaitable<void> tell_figures();
    boost::asio::awaitable<void> answer_requests();
    /// Nothing: it is no question.
    boost::asio::awaitable<std::optional<Message>> answer(Message question);

    Parts parts_;
    std::function<void()> on_replaced_;
    std::function<void()> on_successor_gone_;
    std::optional<NewProcess> next_;
    boost::asio::steady_timer timer_;
    HelperThread starter_;  // the program's disk may hang
    bool starting_ = false;
    TimePoint deadline_ = no_deadline;
    bool busy_ = false;
    bool replaced_ = false;
    bool stopped_ = false;
};

}  // namespace penstock::app::upgrade
