#include "app/control.hpp"

#include <csignal>
#include <exception>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <fmt/chrono.h>

#include "app/limits.hpp"
#include "app/reload/reloader.hpp"
#include "app/service_manager.hpp"

namespace penstock::app {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::deferred);

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void rethrow_failure(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
}

Control::Control(const Parts& parts, std::function<void()> on_stopping)
    : context_(parts.context),
      signals_(parts.signals),
      server_(parts.server),
      reloader_(parts.reloader),
      log_(parts.log),
      on_stopping_(std::move(on_stopping)),
      event_(parts.context) {}

asio::awaitable<void> Control::run() {
    for (;;) {
        const auto [error, signal] = co_await signals_.async_wait(as_result);
        if (error) co_return;  // cancelled: the stop has ended
        on_signal(signal);
    }
}

void Control::on_signal(int signal) {
    switch (signal) {
        case SIGTERM:
        case SIGINT:
            if (stopping_) return stop_at_once();
            stopping_ = true;
            asio::co_spawn(context_, stop_gracefully(), rethrow_failure);
            return;
        case SIGUSR1:
            log_.info("reopening log files");
            log_.reopen();
            server_.reopen_access_log();
            return;
        case SIGHUP:
            reloader_.request("SIGHUP");
            return;
        default: log_.warn("SIGUSR2: upgrading is not supported yet; this process goes on");
    }
}

asio::awaitable<void> Control::stop_gracefully() {
    notify_service_manager("STOPPING=1");
    on_stopping_();
    if (server_.config().process.shutdown_delay > Duration::zero()) {
        log_.info("stopping in {} s; still accepting", seconds(server_.config().process.shutdown_delay));
        co_await wait(server_.config().process.shutdown_delay);
    }
    server_.stop_accepting([this] { report_event(); });
    co_await wait_for_event();
    const auto [drain_wait, close_over] = server_.config().process.drain;
    if (!at_once_ && server_.connections() > 0)
        log_.info("draining {} connections: {} s to end by themselves, then closed over {} s",
                  with_commas(server_.connections()), seconds(drain_wait), seconds(close_over));
    server_.drain(at_once_
                      ? proxy::DrainPlan(SteadyClock().now(), Duration::zero(), Duration::zero())
                      : proxy::DrainPlan(SteadyClock().now(), drain_wait, close_over),
                  [this] { report_event(); });
    draining_ = true;
    co_await wait_for_event();
    signals_.cancel();
}

void Control::stop_at_once() {
    if (std::exchange(at_once_, true)) return;
    log_.warn("second signal: closing {} connections at once", with_commas(server_.connections()));
    event_.cancel();  // ends the shutdown delay
    if (draining_) server_.abort_all();
}

asio::awaitable<void> Control::wait(Duration duration) {
    event_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(duration));
    co_await event_.async_wait(as_result);
}

void Control::report_event() {
    asio::post(context_, [this] {
        event_arrived_ = true;
        event_.cancel();
    });
}

asio::awaitable<void> Control::wait_for_event() {
    while (!event_arrived_) {
        event_.expires_at(std::chrono::steady_clock::time_point::max());
        co_await event_.async_wait(as_result);
    }
    event_arrived_ = false;
}

}  // namespace penstock::app
