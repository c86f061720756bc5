#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

#include "app/control_loop.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/server.hpp"
#include "app/service_manager.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "net/logger.hpp"

namespace penstock::app {

class AdminApi;
class Reloader;
namespace upgrade {
class OldProcesses;
class Upgrader;
}  // namespace upgrade

/// The control thread's part of a running proxy: signals, and the graceful stop. All of it runs on
/// the io_context's thread.
class Control {
public:
    struct Parts {
        boost::asio::io_context& context;
        ControlLoop::Signals& signals;  // registered early, so that one during start-up is not lost
        Server& server;
        Reloader& reloader;
        upgrade::Upgrader* upgrader;  // null = this process cannot be upgraded
        upgrade::OldProcesses& old;
        AdminApi& admin;
        const ServiceManager& manager;
        const sandbox::Sandbox& sandbox;
        net::ProcessLog& log;
    };
    explicit Control(const Parts& parts);

    /// Handles signals until a graceful stop has ended.
    boost::asio::awaitable<void> run();
    /// Tells the service manager that all loops turn, if it wants to know.
    void ping_service_manager();
    /// Another process has taken over: this one lets go of all sockets, and ends with its last
    /// session, or when upgrade_drain is over.
    void retire();
    /// After retire(): the process that serves has died. This one goes on, but for a service
    /// manager that asks it to stop it ends at once.
    void be_left();

private:
    boost::asio::awaitable<void> ping(Duration interval);
    void on_signal(int signal);
    void stop();
    boost::asio::awaitable<void> stop_gracefully();
    boost::asio::awaitable<void> retire_gracefully();
    boost::asio::awaitable<void> drain(const config::Drain& drain);
    boost::asio::awaitable<void> outlast_old_processes();
    void stop_at_once();
    void make_way();
    void end_sessions_now();
    void end();
    boost::asio::awaitable<void> wait(Duration duration);
    /// Any thread: lets wait_for_event() go on.
    void report_event();
    boost::asio::awaitable<void> wait_for_event();

    boost::asio::io_context& context_;
    ControlLoop::Signals& signals_;
    Server& server_;
    Reloader& reloader_;
    upgrade::Upgrader* upgrader_;
    upgrade::OldProcesses& old_;
    AdminApi& admin_;
    const ServiceManager& manager_;
    const sandbox::Sandbox& sandbox_;
    net::ProcessLog& log_;
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>
        event_;
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>
        ping_;
    bool event_arrived_ = false;
    bool stopping_ = false;
    bool retiring_ = false;
    bool left_ = false;  // by the process that had taken over
    bool draining_ = false;
    bool telling_ = false;  // the last figures
    bool at_once_ = false;
    bool ended_ = false;
};

/// What SIGUSR1 asks for. Says so where the sandbox is the reason why one cannot be opened.
void reopen_logs(net::ProcessLog& log, Server& server, const sandbox::Sandbox& sandbox);

}  // namespace penstock::app
