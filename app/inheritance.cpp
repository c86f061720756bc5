#include "app/inheritance.hpp"

#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "app/find_named.hpp"
#include "app/version.hpp"

namespace penstock::app {

namespace {

constexpr Duration answer_limit = std::chrono::seconds(5);

TimePoint in(Duration duration) { return SteadyClock().now() + duration; }

}  // namespace

std::expected<Inheritance, std::string> Inheritance::take(const config::Environment& environment) {
    Inheritance taken;
    auto predecessor = upgrade::Predecessor::find(environment);
    if (!predecessor) return std::unexpected(predecessor.error());
    auto sockets = InheritedSockets::from_service_manager(environment, ::getpid());
    upgrade::forget_upgrade_variable();
    forget_listen_variables();
    taken.predecessor_ = *std::move(predecessor);
    const auto fail = [&taken](std::string reason) {
        taken.say_failed(reason);
        return std::unexpected(std::move(reason));
    };
    if (!sockets) return fail(sockets.error());
    taken.sockets_ = *std::move(sockets);
    if (!taken.predecessor_) return taken;
    auto estate = taken.predecessor_->receive(in(upgrade::Predecessor::usual_limit));
    if (!estate) return fail(estate.error());
    taken.estate_ = *std::move(estate);
    auto& [manifest, fds, admin_fds, channels] = taken.estate_;
    if (auto added = taken.sockets_.add(manifest.sockets, std::move(fds)); !added)
        return fail(added.error());
    for (std::size_t i = 0; i < manifest.admin_sockets.size() && i < admin_fds.size(); ++i) {
        const auto& entry = manifest.admin_sockets[i];
        const auto address = Endpoint::parse(entry.bind);
        std::vector<net::UniqueFd> one;
        one.push_back(std::move(admin_fds[i]));
        auto group = net::adopt_listen_group(std::move(one), {entry.unix_device, entry.unix_inode});
        // One that cannot be used is opened anew.
        if (address && group) taken.admin_sockets_.emplace(*address, *std::move(group));
    }
    return taken;
}

void Inheritance::restore_overrides(Monitors& monitors, const config::Config& config,
                                    Logger& log) const {
    std::map<std::string, std::map<std::string, health::UpstreamMonitor::Override>> all;
    for (const auto& entry : estate_.manifest.overrides) {
        const auto& [upstream, backend] = entry.name;
        const auto* settings = find_named(config.upstreams, upstream);
        if (settings == nullptr) continue;
        const auto* listed = find_listed(*settings, backend);
        health::UpstreamMonitor::Override kept{entry.state, entry.weight, entry.by, entry.since};
        if (entry.state_in_file && (!listed || listed->state != *entry.state_in_file))
            kept.state.reset();
        if (entry.weight_in_file && (!listed || listed->weight != *entry.weight_in_file))
            kept.weight.reset();
        if (kept.state != entry.state || kept.weight != entry.weight)
            log.info("upstream {}: the override of backend {} ends: the file has changed", upstream,
                     backend);
        if (kept.state || kept.weight) all[upstream][backend] = std::move(kept);
    }
    for (auto& [upstream, overrides] : all) monitors.restore(upstream, std::move(overrides));
}

void Inheritance::restore(Service& service) const {
    if (predecessor_) service.take_over(estate_.manifest);
}

void Inheritance::restore_tickets(TicketKeyBook& tickets) {
    tickets.take_over(estate_.manifest.ticket_keys, SteadyClock().now());
    estate_.manifest.wipe();
}

void Inheritance::say_ready(upgrade::OldProcesses& old, Service& service, Logger& log) {
    if (!predecessor_) return;
    const auto& manifest = estate_.manifest;
    old.add_gone(manifest.gone);
    const auto told =
        predecessor_->say_ready({::getpid(), std::string(version())}, in(answer_limit));
    upgrade::OlderProcess before{.pid = manifest.pid, .version = manifest.version};
    if (told) {
        if (auto figures = predecessor_->receive_figures(in(answer_limit)))
            before.last = *std::move(figures);
        log.info("took over from process {} (version {})", manifest.pid, manifest.version);
        service.record_upgrade(
            true,
            fmt::format("took over from process {} (version {})", manifest.pid, manifest.version),
            "");
    } else {
        log.warn("process {}, which this one takes over from, has ended: {}", manifest.pid,
                 told.error());
    }
    old.add(std::move(before), predecessor_->release());
    for (std::size_t i = 0; i < manifest.older.size() && i < estate_.channels.size(); ++i)
        old.add(manifest.older[i], std::move(estate_.channels[i]));
    predecessor_.reset();
    estate_ = {};
}

InheritedSockets Inheritance::left_over(Logger& log) {
    for (const auto& unused : sockets_.close_own())
        log.warn("no listener uses the socket {}, which is closed: clients in its queue are lost",
                 unused);
    for (const auto& unused : sockets_.left_over())
        log.warn(
            "no listener uses the socket {}, which the service manager holds open: who connects "
            "there waits until one does; stop its socket unit to turn clients away",
            unused);
    return std::exchange(sockets_, {});
}

void Inheritance::say_failed(const std::string& reason) noexcept {
    if (predecessor_) predecessor_->say_failed(reason, in(answer_limit));
}

}  // namespace penstock::app
