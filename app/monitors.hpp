#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "app/helper_thread.hpp"
#include "app/server.hpp"
#include "app/tls/material.hpp"
#include "app/upstream_plane.hpp"
#include "base/log.hpp"
#include "base/log_throttle.hpp"
#include "config/config.hpp"
#include "health/check_gate.hpp"
#include "health/probe/make_probe.hpp"
#include "health/upstream_monitor.hpp"
#include "net/file_watch.hpp"
#include "net/tls/context.hpp"

namespace penstock::app {

/// The health of all upstreams, wired to the workers of a Server: verdicts go there, outcomes of
/// connections come from there. Reads the password files of checks, also when they change.
/// Control thread.
class Monitors {
public:
    /// What checks use, by upstream; made off the control thread.
    using Inputs = std::map<std::string, health::CheckInputs>;
    /// Any thread. The error is for the user: a password that cannot be read, a type of check that
    /// this program was built without. `tls` has every upstream with [upstream.tls].
    [[nodiscard]] static std::expected<Inputs, std::string> read_inputs(
        const config::Config& config, const TlsContexts& tls);

    /// `context` and `log` must outlive the object.
    Monitors(boost::asio::io_context& context, const config::Config& config, const Inputs& inputs,
             std::size_t workers, Logger& log);
    ~Monitors();
    Monitors(const Monitors&) = delete;
    Monitors& operator=(const Monitors&) = delete;

    /// Before snapshots(): what operators have changed of an upstream's backends, in another
    /// process.
    void restore(const std::string& upstream,
                 std::map<std::string, health::UpstreamMonitor::Override> overrides);
    /// What the workers start with, or go by, one per upstream.
    [[nodiscard]] std::vector<proxy::SnapshotPtr> snapshots() const;
    /// Begins to look after the backends; `server` must outlive stop().
    void start(Server& server);
    /// Until all upstreams have their first verdicts, at most as long as a check may take.
    [[nodiscard]] boost::asio::awaitable<void> first_verdicts();
    void stop();

    // A change of the configuration, in steps (see health::UpstreamMonitor); `config` is the new
    // one in each of them.

    using Fresh = std::vector<std::unique_ptr<health::UpstreamMonitor>>;
    /// Any thread: those of upstreams that are new.
    [[nodiscard]] Fresh make_fresh(const config::Config& before, const config::Config& config,
                                   const Inputs& inputs) const;
    /// Upstreams that are new or other than before; all others stay untouched.
    struct Change {
        Fresh fresh{};
        std::vector<health::UpstreamMonitor*> changed{};
        // What was before, should it be abandoned; overrides of `changed`.
        std::vector<std::map<std::string, health::UpstreamMonitor::Override>> overrides{};
        Inputs inputs{};
        std::vector<health::UpstreamMonitor::SetPlan> plans{};  // of `changed`
        std::vector<std::shared_ptr<const balancer::BackendSet>> sets{};  // of `plans`
    };
    /// `change`: what it has come to, also if this throws.
    void begin_change(Fresh fresh, const config::Config& before, const config::Config& config,
                      const Inputs& inputs, Change& change);
    /// Until those that are concerned have their first verdicts.
    [[nodiscard]] boost::asio::awaitable<void> first_verdicts(const Change& change);
    static void plan(Change& change);
    /// Any thread: builds the sets.
    using Plans = std::vector<health::UpstreamMonitor::SetPlan>;
    using Sets = std::vector<std::shared_ptr<const balancer::BackendSet>>;
    [[nodiscard]] static Sets build(const Plans& plans);
    /// From now on. What the workers have to know, by upstream; they do not hear of it here.
    [[nodiscard]] std::map<std::string, proxy::SnapshotPtr> finish_change(
        Change& change, const config::Config& config);
    /// Instead of finish_change(): everything is as it was. `before`: the configuration in force.
    void abandon_change(Change change, const config::Config& before);
    /// Once the workers have been told.
    void follow_change(Change change, const config::Config& config);

    /// The certificates of an upstream's TLS have changed on disk: checks that start from now on
    /// use this, as the traffic does.
    void set_tls(const std::string& upstream,
                 std::shared_ptr<const net::tls::ClientContext> context);

    /// In the order of the configuration.
    [[nodiscard]] health::UpstreamMonitor& of(std::size_t upstream) {
        return *upstreams_[upstream].monitor;
    }
    /// Before start(): told of every change of state.
    void on_event(std::function<void(const std::string& upstream, const health::Event&)> handler) {
        shared_.on_event = std::move(handler);
    }
    void on_backends(std::function<void(const std::string& upstream)> handler) {
        shared_.on_backends = std::move(handler);
    }
    [[nodiscard]] HelperThread& builder() noexcept { return builder_; }
    /// After stop(): from now on no other thread posts anything for them.
    bool join(TimePoint deadline = no_deadline) { return builder_.end(deadline); }
    /// Backends that have left and have sessions yet, to be held while make_fresh() may find them
    /// again.
    [[nodiscard]] std::vector<std::shared_ptr<balancer::Backend>> departed() const {
        return shared_.departed->all();
    }

    /// `; upstream db: 120 checks (3 failed), 2 times down`, for the log.
    [[nodiscard]] std::string summary() const;
    /// Descriptors that checks and look-ups may take at a time.
    [[nodiscard]] static std::size_t descriptors(const config::Config& config) noexcept;

private:
    struct Upstream {
        std::string name;
        std::unique_ptr<health::UpstreamMonitor> monitor;
        std::unique_ptr<UpstreamPlane> plane{};  // once the server is there
    };
    struct Left {
        Upstream upstream;
        TimePoint since;
    };

    [[nodiscard]] std::unique_ptr<health::UpstreamMonitor> make(const config::Config& config,
                                                                const config::Upstream& upstream,
                                                                const Inputs& inputs) const;
    [[nodiscard]] std::unique_ptr<health::Probe> probe_of(const config::Upstream& upstream,
                                                          const Inputs& inputs) const;
    void start(Upstream& upstream, const config::Upstream& settings);
    void watch_passwords(const config::Config& config);
    void reload_password(const std::string& upstream);
    void renew_probe(const std::string& upstream);
    [[nodiscard]] Upstream* find(const std::string& name);
    void forget_left(TimePoint now);
    void watch_for_stalls();
    void report_stall(Duration late, TimePoint now);

    boost::asio::io_context& context_;
    std::size_t workers_;
    Logger& log_;
    HelperThread builder_;
    health::CheckGate gate_;
    health::MonitorShared shared_;
    Server* server_ = nullptr;
    std::vector<Upstream> upstreams_;
    std::vector<Left> left_;  // the configuration; their last coroutines may still run
    Inputs inputs_;  // in use
    net::FileWatch passwords_;
    health::Timer heartbeat_;
    LogThrottle stalls_;
    bool stopped_ = false;
};

}  // namespace penstock::app
