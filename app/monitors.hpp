#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "app/server.hpp"
#include "base/log.hpp"
#include "base/log_throttle.hpp"
#include "config/config.hpp"
#include "health/check_gate.hpp"
#include "health/upstream_monitor.hpp"
#include "net/file_watch.hpp"

namespace penstock::app {

/// The health of all upstreams, wired to the workers of a Server: verdicts go there, outcomes of
/// connections come from there. Reads the password files of checks, also when they change.
/// Control thread.
class Monitors {
public:
    /// The error is for the user: a password that cannot be read, a type of check that this
    /// program was built without. `config`, `context` and `log` must outlive the object.
    [[nodiscard]] static std::expected<std::unique_ptr<Monitors>, std::string> make(
        boost::asio::io_context& context, const config::Config& config, std::size_t workers,
        Logger& log);
    ~Monitors();
    Monitors(const Monitors&) = delete;
    Monitors& operator=(const Monitors&) = delete;

    /// What the workers start with, one per upstream.
    [[nodiscard]] std::vector<proxy::SnapshotPtr> first() const;
    /// Begins to look after the backends; `server` must outlive stop().
    void start(Server& server);
    /// Until all upstreams have their first verdicts, at most as long as a check may take.
    [[nodiscard]] boost::asio::awaitable<void> first_verdicts();
    void stop();

    /// In the order of the configuration.
    [[nodiscard]] health::UpstreamMonitor& of(std::size_t upstream) { return *monitors_[upstream]; }
    /// Before start(): told of every change of state.
    void on_event(std::function<void(const std::string& upstream, const health::Event&)> handler) {
        shared_.on_event = std::move(handler);
    }
    void on_backends(std::function<void(const std::string& upstream)> handler) {
        shared_.on_backends = std::move(handler);
    }

    /// `; upstream db: 120 checks (3 failed), 2 times down`, for the log.
    [[nodiscard]] std::string summary() const;
    /// Descriptors that checks and look-ups may take at a time.
    [[nodiscard]] static std::size_t descriptors(const config::Config& config) noexcept;

private:
    class Plane;

    Monitors(boost::asio::io_context& context, const config::Config& config, std::size_t workers,
             Logger& log);
    [[nodiscard]] std::expected<void, std::string> add(const config::Upstream& upstream);
    void reload_password(std::size_t upstream);
    void watch_for_stalls();
    void report_stall(Duration late, TimePoint now);

    boost::asio::io_context& context_;
    const config::Config& config_;
    std::size_t workers_;
    Logger& log_;
    boost::asio::thread_pool builder_{1};
    health::CheckGate gate_;
    health::MonitorShared shared_;
    std::vector<std::unique_ptr<health::UpstreamMonitor>> monitors_;
    std::vector<std::unique_ptr<Plane>> planes_;
    net::FileWatch passwords_;
    health::Timer heartbeat_;
    LogThrottle stalls_;
    bool stopped_ = false;
};

}  // namespace penstock::app
