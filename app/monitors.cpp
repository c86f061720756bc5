#include "app/monitors.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/control.hpp"
#include "app/limits.hpp"
#include "app/password_file.hpp"
#include "app/process.hpp"
#include "base/random.hpp"
#include "health/probe/make_probe.hpp"

namespace penstock::app {

namespace asio = boost::asio;

namespace {

constexpr Duration beat = std::chrono::milliseconds(250);
constexpr Duration stall = std::chrono::milliseconds(100);
constexpr Duration stall_log_pause = std::chrono::seconds(10);
constexpr std::size_t per_lookup = 16;  // name servers at a time, over UDP and TCP

bool asks_for(const config::Config& config, const std::string& upstream, Role role) {
    return std::ranges::any_of(config.listeners, [&](const config::Listener& listener) {
        if (listener.role != role) return false;
        return listener.upstream == upstream ||
               std::ranges::any_of(listener.split, [&](const config::SplitPart& part) {
                   return part.upstream == upstream;
               });
    });
}

bool looks_up(const config::Upstream& upstream) noexcept {
    return !upstream.discovery.empty() ||
           std::ranges::any_of(upstream.backends, [](const config::Backend& backend) {
               return !backend.host.empty();
           });
}

health::UpstreamMonitor::Options options_of(const config::Config& config,
                                            const config::Upstream& upstream, std::size_t workers) {
    health::UpstreamMonitor::Options options{
        .roles = {.asked_primary = asks_for(config, upstream.name, Role::primary),
                  .asked_replica = asks_for(config, upstream.name, Role::replica)},
        .discovery = {.own_addresses = {}, .seed = entropy()},
        .workers = workers,
        .hash_seed = config.process.hash_seed,
        .seed = entropy()};
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind)
            if (!bind.inherited()) options.discovery.own_addresses.push_back(bind.address);
    return options;
}

}  // namespace

/// The workers, as one upstream's health sees them.
class Monitors::Plane final : public health::DataPlane {
public:
    Plane(Server& server, std::size_t upstream) : server_(server), upstream_(upstream) {}

    void publish(std::shared_ptr<const balancer::Snapshot> snapshot) override {
        server_.publish(upstream_, std::move(snapshot));
    }
    void end_sessions(const health::EndSessions& which) override {
        server_.end_sessions(upstream_, which);
    }
    void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                       health::EndCause cause) override {
        server_.keep_sessions(backend, cause);
    }

private:
    Server& server_;
    std::size_t upstream_;
};

Monitors::Monitors(asio::io_context& context, const config::Config& config, std::size_t workers,
                   Logger& log)
    : context_(context),
      config_(config),
      workers_(workers),
      log_(log),
      gate_(context),
      shared_{context, builder_, gate_, log},
      passwords_(context, log),
      heartbeat_(context),
      stalls_(stall_log_pause) {
    asio::post(builder_, block_signals);
}

Monitors::~Monitors() { builder_.join(); }

std::expected<std::unique_ptr<Monitors>, std::string> Monitors::make(asio::io_context& context,
                                                                     const config::Config& config,
                                                                     std::size_t workers,
                                                                     Logger& log) {
    std::unique_ptr<Monitors> monitors(new Monitors(context, config, workers, log));
    for (const auto& upstream : config.upstreams)
        if (auto added = monitors->add(upstream); !added) return std::unexpected(added.error());
    return monitors;
}

std::expected<void, std::string> Monitors::add(const config::Upstream& upstream) {
    const auto& check = upstream.health_check;
    std::unique_ptr<health::Probe> probe;
    if (check.type != config::CheckType::none) {
        if (!health::is_built(check.type))
            return std::unexpected(fmt::format(
                "upstream {}: this program was built without checks of this type (see the options "
                "PENSTOCK_PROBE_* of its build)",
                upstream.name));
        const auto password = read_password(check.password_file);
        if (!password)
            return std::unexpected(fmt::format("upstream {}: {}", upstream.name, password.error()));
        probe = health::make_probe(context_, upstream, *password);
    }
    monitors_.push_back(std::make_unique<health::UpstreamMonitor>(
        shared_, upstream, options_of(config_, upstream, workers_), std::move(probe)));
    return {};
}

std::vector<proxy::SnapshotPtr> Monitors::first() const {
    std::vector<proxy::SnapshotPtr> all;
    for (const auto& monitor : monitors_) all.push_back(monitor->first());
    return all;
}

void Monitors::start(Server& server) {
    server.on_alarm([this](std::size_t upstream, const balancer::Backend* backend) {
        asio::post(context_, [this, upstream, backend] {
            if (!stopped_) monitors_[upstream]->on_alarm(backend);
        });
    });
    for (std::size_t i = 0; i < monitors_.size(); ++i) {
        planes_.push_back(std::make_unique<Plane>(server, i));
        monitors_[i]->start(*planes_.back());
        const auto& path = config_.upstreams[i].health_check.password_file;
        const bool is_used = config_.upstreams[i].health_check.type != config::CheckType::none;
        if (is_used && !path.empty()) passwords_.add(path, [this, i] { reload_password(i); });
    }
    if (!monitors_.empty()) watch_for_stalls();
}

asio::awaitable<void> Monitors::first_verdicts() {
    // Each has a deadline of its own; they run at the same time.
    for (const auto& monitor : monitors_) {
        auto waiting = monitor->first_verdicts();
        co_await std::move(waiting);
    }
}

void Monitors::stop() {
    stopped_ = true;
    heartbeat_.cancel();
    passwords_.stop();
    gate_.close();
    for (const auto& monitor : monitors_) monitor->stop();
}

void Monitors::reload_password(std::size_t upstream) {
    const auto& settings = config_.upstreams[upstream];
    const auto password = read_password(settings.health_check.password_file);
    if (!password)
        return log_.error("upstream {}: {}; checks go on with the old one", settings.name,
                          password.error());
    monitors_[upstream]->set_probe(health::make_probe(context_, settings, *password));
    log_.info("upstream {}: checks use the new password", settings.name);
}

// Nothing that was due while this thread stood still is the fault of a backend.
void Monitors::watch_for_stalls() {
    const TimePoint due = SteadyClock().now() + beat;
    heartbeat_.expires_at(to_asio(due));
    heartbeat_.async_wait([this, due](const boost::system::error_code& error) {
        if (error || stopped_) return;
        const TimePoint now = SteadyClock().now();
        if (now - due > stall) {
            report_stall(now - due, now);
            for (const auto& monitor : monitors_) monitor->on_stall(now - due, now);
        }
        watch_for_stalls();
    });
}

void Monitors::report_stall(Duration late, TimePoint now) {
    if (const auto left_out = stalls_.admit(now))
        log_.warn(
            "the control thread was held up for {} ms ({} more times since the last "
            "message); checks that were due meanwhile do not count",
            std::chrono::duration_cast<std::chrono::milliseconds>(late).count(), *left_out);
}

std::string Monitors::summary() const {
    struct Row {
        health::EventKind kind;
        std::string_view text;
    };
    using enum health::EventKind;
    static constexpr Row rows[] = {{check_down, "times down"},
                                   {circuit_opened, "circuits opened"},
                                   {circuit_would_open, "circuits would have opened"},
                                   {circuit_kept_closed, "circuits kept closed"},
                                   {role_changed, "role changes"},
                                   {role_conflict, "role conflicts"},
                                   {panic_began, "times in panic"},
                                   {none_available, "times without backend"}};
    std::string text;
    for (std::size_t i = 0; i < monitors_.size(); ++i) {
        const auto& monitor = *monitors_[i];
        std::string events;
        const auto add = [&events](std::uint64_t n, std::string_view what) {
            if (n != 0)
                events += fmt::format("{}{} {}", events.empty() ? "" : ", ", with_commas(n), what);
        };
        add(monitor.checks().done, "checks");
        add(monitor.checks().failed, "of them failed");
        for (const auto& [kind, what] : rows) add(monitor.events().count(kind), what);
        for (const auto& source : monitor.discovery().sources())
            add(source.failures, fmt::format("failures of {}", source.what));
        if (!events.empty())
            text += fmt::format("; health of {}: {}", config_.upstreams[i].name, events);
    }
    return text;
}

std::size_t Monitors::descriptors(const config::Config& config) noexcept {
    std::size_t checked = 0;
    std::size_t lookups = 0;
    for (const auto& upstream : config.upstreams) {
        std::size_t backends = upstream.backends.size();
        for (const auto& source : upstream.discovery) backends += source.max_backends;
        if (upstream.health_check.type != config::CheckType::none) checked += backends;
        if (looks_up(upstream)) lookups += per_lookup;
    }
    // A check through a client library holds two: its own and the one that is waited on.
    return 2 * std::min(checked, health::CheckGate::most) + lookups;
}

}  // namespace penstock::app
