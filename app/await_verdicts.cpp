#include "app/await_verdicts.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/control.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace {

constexpr Duration most_time = std::chrono::seconds(30);  // of one that takes over

// What signals ask for while the proxy does not run yet.
class EarlySignals {
public:
    EarlySignals(ControlLoop& loop, net::ProcessLog& log, Assembly& proxy)
        : loop_(loop), log_(log), proxy_(proxy) {
        listen();
    }
    [[nodiscard]] bool stopped() const noexcept { return stopped_; }
    /// Control hears of those that it has to carry out.
    void hand_over() {
        ended_ = true;
        loop_.signals.cancel();
        while (listening_) loop_.context.run_one();
        if (stopped_) return;
        for (const int signal : later_) ::raise(signal);
    }

private:
    void listen() {
        listening_ = true;
        loop_.signals.async_wait([this](const boost::system::error_code& error, int signal) {
            listening_ = false;
            if (error) return;
            take(signal);
            if (!stopped_ && !ended_) listen();
        });
    }
    void take(int signal) {
        if (signal == SIGTERM || signal == SIGINT) {
            stopped_ = true;
        } else if (signal == SIGUSR1) {
            reopen_logs(log_, *proxy_.server, proxy_.sandbox);
        } else if (later_.insert(signal).second) {
            log_.info("{} waits until the start has ended",
                      signal == SIGHUP ? "SIGHUP" : "SIGUSR2");
        }
    }

    ControlLoop& loop_;
    net::ProcessLog& log_;
    Assembly& proxy_;
    bool listening_ = false;
    bool stopped_ = false;
    bool ended_ = false;
    std::set<int> later_;  // a reload comes before an upgrade
};

// A process that waits for this one gives up after a minute, and one backend may be silent for
// longer.
void warn_of_missing_verdicts(const config::Config& config, Monitors& monitors, Logger& log) {
    for (std::size_t i = 0; i < config.upstreams.size(); ++i) {
        std::vector<std::string> silent;
        for (const auto& backend : monitors.of(i).backends())
            if (!backend.health.settled) silent.push_back(backend.backend->name());
        if (!silent.empty())
            log.warn(
                "upstream {}: taking over without a verdict on {}, whose first check has not ended "
                "after {} s; no client gets there before it has",
                config.upstreams[i].name, fmt::join(silent, ", "),
                std::chrono::duration_cast<std::chrono::seconds>(most_time).count());
    }
}

void rethrow_unless_cancelled(const std::exception_ptr& error) {
    try {
        net::rethrow_failure(error);
    } catch (const boost::system::system_error& e) {
        if (e.code() != boost::asio::error::operation_aborted) throw;
    }
}

}  // namespace

bool await_verdicts(ControlLoop& loop, Assembly& proxy, net::ProcessLog& log, bool takes_over) {
    Monitors& monitors = *proxy.monitors;
    EarlySignals signals(loop, log, proxy);
    bool ended = false;
    boost::asio::cancellation_signal enough;
    boost::asio::co_spawn(
        loop.context, monitors.first_verdicts(),
        boost::asio::bind_cancellation_slot(enough.slot(), [&](const std::exception_ptr& error) {
            ended = true;
            rethrow_unless_cancelled(error);
        }));
    const TimePoint deadline = takes_over ? SteadyClock().now() + most_time : no_deadline;
    while (!ended && !signals.stopped() && SteadyClock().now() < deadline) {
        loop.context.run_one_until(net::to_asio(deadline));
    }
    if (signals.stopped()) {
        log.info("stopped before anything was accepted");
        monitors.stop();
    } else if (!ended) {
        warn_of_missing_verdicts(proxy.server->config(), monitors, log);
        enough.emit(boost::asio::cancellation_type::terminal);
    }
    while (!ended) loop.context.run_one();
    signals.hand_over();
    loop.context.restart();  // without backends to look after it has run out of work
    return !signals.stopped();
}

}  // namespace penstock::app
