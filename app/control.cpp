#include "app/control.hpp"

#include <csignal>
#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/chrono.h>

#include "app/admin_api.hpp"
#include "app/refusals.hpp"
#include "app/reload/reloader.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/upgrade/upgrader.hpp"
#include "app/with_commas.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void reopen_logs(net::ProcessLog& log, Server& server, const sandbox::Sandbox& sandbox) {
    log.info("reopening log files");
    log.reopen();
    server.reopen_access_log();
    for (const auto& sentence : sandbox.lost_logs(server.config())) log.error("{}", sentence);
}

Control::Control(const Parts& parts)
    : context_(parts.context),
      signals_(parts.signals),
      server_(parts.server),
      reloader_(parts.reloader),
      upgrader_(parts.upgrader),
      old_(parts.old),
      admin_(parts.admin),
      manager_(parts.manager),
      sandbox_(parts.sandbox),
      log_(parts.log),
      event_(parts.context),
      ping_(parts.context) {}

void Control::ping_service_manager() {
    if (const auto interval = manager_.watchdog_interval())
        asio::co_spawn(context_, ping(*interval), net::rethrow_failure);
}

// The workers' loops answer within this, or the manager may start the program anew. Once another
// process has taken over it is that one's business.
asio::awaitable<void> Control::ping(Duration interval) {
    while (!retiring_) {
        const bool all_answer = admin_.service().all_workers_answer();
        if (all_answer) manager_.notify("WATCHDOG=1");
        ping_.expires_after(next_ping(interval, all_answer));
        const auto [error] = co_await ping_.async_wait(net::as_result);
        if (error) co_return;
    }
}

asio::awaitable<void> Control::run() {
    while (!ended_) {
        const auto [error, signal] = co_await signals_.async_wait(net::as_result);
        if (error) co_return;  // cancelled: the stop has ended
        on_signal(signal);
    }
}

// A signal may be on its way to run() just now, which then waits for nothing that could be
// cancelled.
void Control::end() {
    ended_ = true;
    signals_.cancel();
}

void Control::on_signal(int signal) {
    switch (signal) {
        case SIGTERM:
        case SIGINT: return stop();
        case SIGUSR1: return reopen_logs(log_, server_, sandbox_);
        case SIGHUP:
            if (retiring_) return log_.warn("SIGHUP: another process has taken over; ask that one");
            return reloader_.request("SIGHUP");
        default:
            if (upgrader_ == nullptr)
                return log_.warn("SIGUSR2: this process cannot be upgraded while it runs");
            upgrader_->request("SIGUSR2");
    }
}

void Control::stop() {
    if (stopping_) return stop_at_once();
    stopping_ = true;
    if (!retiring_) {
        asio::co_spawn(context_, stop_gracefully(), net::rethrow_failure);
        return;
    }
    if (telling_) return upgrader_->stop();
    if (left_ && manager_.listens()) return make_way();
    // It drains already, but nobody wants to wait so long any more.
    const auto [drain_wait, close_over] = server_.config().process.drain;
    log_.info("stopping: {} s for connections to end by themselves, then closed over {} s",
              seconds(drain_wait), seconds(close_over));
    const proxy::DrainPlan plan(SteadyClock().now(), drain_wait, close_over);
    server_.hasten(plan);
    upgrader_->drains_until(plan.deadline());
}

void Control::retire() {
    if (stopping_ || std::exchange(retiring_, true)) return;
    // At once: whoever asks after the answer to the upgrade asks the new process.
    admin_.let_go();
    reloader_.stop("another process has taken over from this one; ask again");
    const config::Drain settings = server_.config().process.upgrade_drain;
    upgrader_->drains_until(
        proxy::DrainPlan(SteadyClock().now(), settings.wait, settings.close_over).deadline());
    asio::co_spawn(context_, retire_gracefully(), net::rethrow_failure);
}

void Control::be_left() {
    left_ = true;
    if (telling_) return;
    if (stopping_ && manager_.listens()) return make_way();
    log_.warn("upgrade: the process that had taken over is gone; {} connection{} here go{} on",
              with_commas(server_.connections()), server_.connections() == 1 ? "" : "s",
              server_.connections() == 1 ? "es" : "");
}

asio::awaitable<void> Control::stop_gracefully() {
    manager_.notify("STOPPING=1");
    admin_.service().set_stopping();
    reloader_.stop(proxy_stops);
    if (upgrader_ != nullptr) upgrader_->stop();
    const Duration delay = server_.config().process.shutdown_delay;
    if (delay > Duration::zero()) {
        log_.info("stopping in {} s; still accepting", seconds(delay));
        co_await wait(delay);
    }
    server_.stop_accepting([this] { report_event(); });
    co_await wait_for_event();
    server_.forget_sockets(ListeningSockets::Paths::removed);
    auto draining = drain(server_.config().process.drain);
    co_await std::move(draining);
    auto outlasting = outlast_old_processes();
    co_await std::move(outlasting);
    end();
}

// systemd asks all processes of a service to stop, and when the main one has ended, whoever is left
// once more: which for those that drain would mean at once.
asio::awaitable<void> Control::outlast_old_processes() {
    if (at_once_ || old_.empty() || !manager_.listens()) co_return;
    const auto [drain_wait, close_over] = server_.config().process.drain;
    log_.info("waiting for the processes that this one has taken over from, at most {} s",
              seconds(drain_wait + close_over));
    old_.on_empty([this] { event_.cancel(); });
    co_await wait(drain_wait + close_over);
}

// What waits in the queues is the other process's.
asio::awaitable<void> Control::retire_gracefully() {
    server_.let_go([this] { report_event(); });
    co_await wait_for_event();
    server_.forget_sockets(ListeningSockets::Paths::left);
    auto draining = drain(server_.config().process.upgrade_drain);
    co_await std::move(draining);
    telling_ = true;
    auto telling = upgrader_->say_last_figures();
    co_await std::move(telling);
    upgrader_->stop();
    end();
}

asio::awaitable<void> Control::drain(const config::Drain& drain) {
    const auto [drain_wait, close_over] = drain;
    if (!at_once_ && server_.connections() > 0)
        log_.info("draining {} connection{}: {} s to end by themselves, then closed over {} s",
                  with_commas(server_.connections()), server_.connections() == 1 ? "" : "s",
                  seconds(drain_wait), seconds(close_over));
    server_.drain(at_once_
                      ? proxy::DrainPlan(SteadyClock().now(), Duration::zero(), Duration::zero())
                      : proxy::DrainPlan(SteadyClock().now(), drain_wait, close_over),
                  [this] { report_event(); });
    draining_ = true;
    co_await wait_for_event();
}

void Control::stop_at_once() {
    if (std::exchange(at_once_, true)) return;
    log_.warn("second signal: closing {} connections at once", with_commas(server_.connections()));
    event_.cancel();  // ends the shutdown delay
    end_sessions_now();
}

// The main process of a service has died, and systemd asks all others to stop before it starts the
// service again: everybody waits for this one.
void Control::make_way() {
    if (std::exchange(at_once_, true)) return;
    log_.warn(
        "stopping: the process that had taken over is gone, and the service is started again "
        "when this one has ended: closing {} connections at once",
        with_commas(server_.connections()));
    end_sessions_now();
}

void Control::end_sessions_now() {
    if (draining_) server_.abort_all();
    if (telling_) upgrader_->stop();
}

asio::awaitable<void> Control::wait(Duration duration) {
    event_.expires_after(duration);
    co_await event_.async_wait(net::as_result);
}

void Control::report_event() {
    asio::post(context_, [this] {
        event_arrived_ = true;
        event_.cancel();
    });
}

asio::awaitable<void> Control::wait_for_event() {
    while (!event_arrived_) {
        event_.expires_at(net::to_asio(no_deadline));
        co_await event_.async_wait(net::as_result);
    }
    event_arrived_ = false;
}

}  // namespace penstock::app
