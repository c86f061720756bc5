#include "app/monitors.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/find_named.hpp"
#include "app/monitor_options.hpp"
#include "app/with_commas.hpp"
#include "config/secret_file.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

namespace {

constexpr Duration beat = std::chrono::milliseconds(250);
constexpr Duration stall = std::chrono::milliseconds(100);
constexpr Duration stall_log_pause = std::chrono::seconds(10);
constexpr std::size_t per_lookup = 16;  // name servers at a time, over UDP and TCP

bool looks_up(const config::Upstream& upstream) noexcept {
    return !upstream.discovery.empty() ||
           std::ranges::any_of(upstream.backends, [](const config::Backend& backend) {
               return !backend.host.empty();
           });
}

/// "" without a file.
std::expected<config::Secret, std::string> password_of(const config::Upstream& upstream) {
    const std::string& path = upstream.health_check.password_file;
    if (path.empty()) return {};
    auto password = config::read_password(path);
    if (!password)
        return std::unexpected(fmt::format("upstream {}: password file {}: {}", upstream.name, path,
                                           password.error()));
    return password;
}

}  // namespace

std::expected<Monitors::Inputs, std::string> Monitors::read_inputs(const config::Config& config,
                                                                   const TlsContexts& tls) {
    Inputs inputs;
    for (const auto& upstream : config.upstreams) {
        const auto& check = upstream.health_check;
        if (check.type == config::CheckType::none) continue;
        if (!health::is_built(check.type))
            return std::unexpected(fmt::format(
                "upstream {}: this program was built without checks of this type (see the options "
                "PENSTOCK_PROBE_* of its build)",
                upstream.name));
        auto password = password_of(upstream);
        if (!password) return std::unexpected(std::move(password.error()));
        const auto context = tls.upstreams.find(upstream.name);
        inputs.emplace(
            upstream.name,
            health::CheckInputs{std::move(password->text),
                                context == tls.upstreams.end() ? nullptr : context->second});
    }
    return inputs;
}

Monitors::Monitors(asio::io_context& context, const config::Config& config, const Inputs& inputs,
                   std::size_t workers, Logger& log)
    : context_(context),
      workers_(workers),
      log_(log),
      gate_(context),
      shared_{context, builder_.pool(), gate_, log},
      inputs_(inputs),
      passwords_(context, log),
      heartbeat_(context),
      stalls_(stall_log_pause) {
    for (const auto& upstream : config.upstreams)
        upstreams_.push_back({upstream.name, make(config, upstream, inputs)});
}

Monitors::~Monitors() { join(); }

std::unique_ptr<health::Probe> Monitors::probe_of(const config::Upstream& upstream,
                                                  const Inputs& inputs) const {
    const auto found = inputs.find(upstream.name);
    if (found == inputs.end()) return nullptr;
    return health::make_probe(context_, upstream, found->second);
}

std::unique_ptr<health::UpstreamMonitor> Monitors::make(const config::Config& config,
                                                        const config::Upstream& upstream,
                                                        const Inputs& inputs) const {
    return std::make_unique<health::UpstreamMonitor>(
        shared_, std::make_shared<const config::Upstream>(upstream),
        monitor_options(config, upstream, workers_), probe_of(upstream, inputs));
}

void Monitors::restore(const std::string& upstream,
                       std::map<std::string, health::UpstreamMonitor::Override> overrides) {
    if (Upstream* known = find(upstream)) known->monitor->restore_overrides(std::move(overrides));
}

std::vector<proxy::SnapshotPtr> Monitors::snapshots() const {
    std::vector<proxy::SnapshotPtr> all;
    for (const auto& upstream : upstreams_) all.push_back(upstream.monitor->first());
    return all;
}

void Monitors::start(Server& server) {
    server_ = &server;
    server.on_alarm([this](const std::shared_ptr<proxy::UpstreamShared>& upstream,
                           const balancer::Backend& backend) {
        asio::post(context_, [this, upstream, which = &backend] {
            if (stopped_) return;
            if (Upstream* of = find(upstream->name)) of->monitor->on_alarm(which);
        });
    });
    for (std::size_t i = 0; i < upstreams_.size(); ++i)
        start(upstreams_[i], server.config().upstreams[i]);
    watch_passwords(server.config());
    watch_for_stalls();
}

void Monitors::start(Upstream& upstream, const config::Upstream& settings) {
    const auto& all = server_->upstreams();
    const auto shared = std::ranges::find(all, upstream.name,
                                          [](const auto& candidate) { return candidate->name; });
    upstream.plane = std::make_unique<UpstreamPlane>(*server_, *shared, settings.drain);
    upstream.monitor->start(*upstream.plane);
}

asio::awaitable<void> Monitors::first_verdicts() {
    // Each has a deadline of its own; they run at the same time.
    for (const auto& upstream : upstreams_) {
        auto waiting = upstream.monitor->first_verdicts();
        co_await std::move(waiting);
    }
}

void Monitors::stop() {
    stopped_ = true;
    heartbeat_.cancel();
    passwords_.stop();
    gate_.close();
    for (const auto& upstream : upstreams_) upstream.monitor->stop();
}

Monitors::Upstream* Monitors::find(const std::string& name) {
    const auto found = std::ranges::find(upstreams_, name, &Upstream::name);
    return found == upstreams_.end() ? nullptr : &*found;
}

void Monitors::watch_passwords(const config::Config& config) {
    if (stopped_) return;
    passwords_.clear();
    for (const auto& upstream : config.upstreams) {
        const auto& path = upstream.health_check.password_file;
        if (upstream.health_check.type == config::CheckType::none || path.empty()) continue;
        passwords_.add(path, [this, name = upstream.name] { reload_password(name); });
        reload_password(upstream.name);  // what changed since it was read was not watched yet
    }
}

void Monitors::reload_password(const std::string& upstream) {
    const auto* settings = find_named(server_->config().upstreams, upstream);
    if (settings == nullptr) return;
    auto password = password_of(*settings);
    if (!password) return log_.error("{}; checks go on with the old one", password.error());
    auto& inputs = inputs_[upstream];
    if (password->text == inputs.password) return;
    wipe(inputs.password);
    inputs.password = std::move(password->text);
    renew_probe(upstream);
    log_.info("upstream {}: checks use the new password", upstream);
}

void Monitors::set_tls(const std::string& upstream,
                       std::shared_ptr<const net::tls::ClientContext> context) {
    const auto inputs = inputs_.find(upstream);
    if (inputs == inputs_.end() || inputs->second.tls == context) return;
    inputs->second.tls = std::move(context);
    renew_probe(upstream);
}

// While a change is under way its settings count already, for which these inputs were read.
void Monitors::renew_probe(const std::string& upstream) {
    if (Upstream* known = find(upstream))
        known->monitor->set_probe(probe_of(known->monitor->settings(), inputs_));
}

// Nothing that was due while this thread stood still is the fault of a backend.
void Monitors::watch_for_stalls() {
    const TimePoint due = SteadyClock().now() + beat;
    heartbeat_.expires_at(net::to_asio(due));
    heartbeat_.async_wait([this, due](const boost::system::error_code& error) {
        if (error || stopped_) return;
        const TimePoint now = SteadyClock().now();
        if (now - due > stall) {
            report_stall(now - due, now);
            for (const auto& upstream : upstreams_) upstream.monitor->on_stall(now - due, now);
        }
        forget_left(now);
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
    for (const auto& upstream : upstreams_) {
        const auto& monitor = *upstream.monitor;
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
        if (!events.empty()) text += fmt::format("; health of {}: {}", upstream.name, events);
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
