#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "admin/model.hpp"
#include "admin/operations.hpp"
#include "app/access_files.hpp"
#include "app/admin_api.hpp"
#include "app/helper_thread.hpp"
#include "app/monitors.hpp"
#include "app/reload/candidate.hpp"
#include "app/reload/followed_files.hpp"
#include "app/reload/planner.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/server.hpp"
#include "app/service_manager.hpp"
#include "app/tls/tls_files.hpp"
#include "net/logger.hpp"

namespace penstock::app {

/// Changes the configuration of the running proxy: all of it or nothing. Whatever takes long or may
/// fail comes first, on a thread of its own (reading, checking, comparing) or without any effect
/// (opening sockets and files); then new backends are checked; then everybody gets the new
/// configuration at once. One change at a time: who asks meanwhile waits, and signals that come
/// while one waits are one. Control thread.
class Reloader {
public:
    struct Parts {
        boost::asio::io_context& context;
        Server& server;
        Monitors& monitors;
        AccessFiles& access_files;
        TlsFiles& tls_files;
        TicketKeyBook& ticket_keys;
        AdminApi& admin;
        const sandbox::Sandbox& sandbox;
        const ServiceManager& manager;
        net::ProcessLog& log;
    };
    /// `file`: the configuration's, absolute; "" = the process has none, and cannot reload.
    /// `files`: all that were read at the start; none = it was a pipe, which cannot be read again.
    Reloader(const Parts& parts, std::string file, std::vector<std::string> files);
    ~Reloader();
    Reloader(const Reloader&) = delete;
    Reloader& operator=(const Reloader&) = delete;

    [[nodiscard]] boost::asio::awaitable<admin::Outcome<admin::Plan>> plan(
        admin::PlanRequest request);
    [[nodiscard]] boost::asio::awaitable<admin::Outcome<admin::Reloaded>> reload(
        admin::ReloadRequest request, std::string actor);
    /// A reload that nobody waits for: a signal, a changed file.
    void request(std::string actor);
    /// One that nobody waits for has not begun yet.
    [[nodiscard]] bool is_wanted() const noexcept { return requested_; }
    /// Nothing is changed any more; what is under way ends. `why`: a clause for who asks.
    void stop(std::string why);
    /// After stop(): from now on no other thread posts anything for it.
    bool join(TimePoint deadline = no_deadline) { return reader_.end(deadline); }

    /// Nothing changes the configuration while somebody has the turn. It is given back when it is
    /// destroyed.
    class Turn {
    public:
        explicit Turn(Reloader& of) noexcept : of_(&of) {}
        Turn(Turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (of_ != nullptr) of_->give_turn();
        }

    private:
        Reloader* of_;
    };
    [[nodiscard]] boost::asio::awaitable<Turn> take_turn();
    /// What of the configuration the process has to be started anew for.
    [[nodiscard]] const std::vector<std::string>& restart_required() const noexcept {
        return restart_required_;
    }
    /// Why another process could not read this one's configuration; nothing = it can.
    [[nodiscard]] std::optional<std::string> only_here() const;
    [[nodiscard]] const admin::LastReload& last() const noexcept { return last_; }
    [[nodiscard]] WallTime last_success() const noexcept { return last_success_; }
    [[nodiscard]] std::uint64_t succeeded() const noexcept { return succeeded_; }
    [[nodiscard]] std::uint64_t failed() const noexcept { return failed_; }

private:
    /// What a change has opened and built so far.
    struct Prepared;

    void give_turn();
    boost::asio::awaitable<Candidate> read(admin::PlanRequest request);
    [[nodiscard]] LiveState live_state(const Candidate& candidate) const;
    void add_old_sessions(LiveState& live) const;
    boost::asio::awaitable<admin::Plan> plan_of(const Candidate& candidate);
    boost::asio::awaitable<FollowedFiles::Look> look();
    boost::asio::awaitable<admin::Outcome<admin::Reloaded>> carry_out(admin::ReloadRequest request,
                                                                      std::string actor);
    [[nodiscard]] std::expected<Prepared, std::string> prepare(const Candidate& candidate);
    void withdraw(const Prepared& prepared);
    boost::asio::awaitable<void> meet_backends(const Candidate& candidate,
                                               Monitors::Change& change);
    /// False, and nothing has changed: the process began to stop meanwhile.
    boost::asio::awaitable<bool> put_in_force(Candidate& candidate, Prepared prepared);
    /// Why nothing can be changed now; nothing = it can.
    [[nodiscard]] std::optional<admin::Refusal> why_not() const;
    void note_success(const Candidate& candidate, const admin::Plan& plan,
                      const std::string& actor);
    void note_failure(std::vector<std::string> errors, const std::string& actor);
    /// Why there is nothing to reload; for a process without a file.
    [[nodiscard]] std::string no_file() const;

    Parts parts_;
    bool from_pipe_;
    std::string file_;
    FollowedFiles files_;
    boost::asio::steady_timer turn_;
    // Files may be on a disk that hangs: nothing else waits for that.
    HelperThread reader_;
    bool busy_ = false;
    bool requested_ = false;
    std::string requester_;
    bool stopped_ = false;
    std::string why_stopped_;
    admin::LastReload last_;
    WallTime last_success_{};
    std::uint64_t succeeded_ = 0;
    std::uint64_t failed_ = 0;
    std::vector<std::string> restart_required_;
};

}  // namespace penstock::app
