// Another configuration for the running server.
#include <algorithm>
#include <utility>

#include "app/find_named.hpp"
#include "app/server.hpp"
#include "base/random.hpp"

namespace penstock::app {

namespace {

constexpr std::size_t fewest_sources = std::size_t{1} << 13;
constexpr std::size_t most_sources = std::size_t{1} << 18;  // 11 MiB per listener, if all are used
constexpr Duration remembered = std::chrono::minutes(5);

}  // namespace

std::expected<Server::Change, std::string> Server::prepare(ConfigPtr config) const {
    Change change;
    auto sockets = sockets_.open(*config, nullptr);
    if (!sockets) return std::unexpected(sockets.error());
    change.sockets = *std::move(sockets);
    if (config->access_log.target != config_->access_log.target) {
        auto writer = open_log(*config);
        if (!writer) {
            withdraw(change);
            return std::unexpected(writer.error());
        }
        change.log_writer = *std::move(writer);
    }
    if (auto listening = ListeningSockets::listen(change.sockets, *config); !listening)
        return std::unexpected(listening.error());
    change.config = std::move(config);
    return change;
}

void Server::withdraw(const Change& change) noexcept { ListeningSockets::withdraw(change.sockets); }

void Server::apply(Change change, std::function<void()> done) {
    const ConfigPtr before = std::exchange(config_, change.config);
    options_.max_connections = change.max_connections;
    shared_.connections.set_limit(change.max_connections);
    for (const auto& sentence : sockets_.adopt(std::move(change.sockets), *config_))
        log_.warn("{}", sentence);
    auto updates = take(change, *before);
    if (config_->access_log != before->access_log) {
        if (config_->access_log.target != before->access_log.target) {
            if (log_writer_) old_logs_.push_back(std::make_shared<OldLog>(std::move(log_writer_)));
            log_writer_ = std::move(change.log_writer);
        }
        for (auto& update : updates) update.access_log = {config_->access_log, log_writer_.get()};
    }
    auto left = std::make_shared<std::atomic<std::size_t>>(workers_.size());
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        updates[i].sockets = sockets_.update_for(i, *config_);
        workers_[i]->send(
            [this, &worker = *workers_[i], left, done, update = std::move(updates[i])]() mutable {
                worker.apply(std::move(update));
                if (left->fetch_sub(1) != 1) return;
                // What was handed over by workers that were behind is in the mail before this.
                for (const auto& each : workers_) each->send([&each = *each] { each.let_leave(); });
                done();
            });
    }
    sockets_.settle();
    drain_left(*before);
    // Files may have changed where the settings have not.
    for (const auto& [listener, context] : change.tls.listeners) set_tls(listener, context);
    for (const auto& [upstream, context] : change.tls.upstreams)
        set_upstream_tls(upstream, context);
    for (std::size_t i = 0; i < config_->listeners.size(); ++i) {
        const auto& listener = config_->listeners[i];
        if (!listener.allow_file.empty() || !listener.deny_file.empty())
            set_access(listener.name, access_[i]);
    }
}

void Server::settle() {
    std::erase_if(old_logs_, [this](const auto& log) {
        if (!log->ended) return false;
        old_lines_written_ += log->writer->lines_written();
        old_lines_lost_ += log->writer->lines_lost();
        return true;
    });
    for (const auto& log : old_logs_)
        if (!std::exchange(log->ending, true))
            log_ender_.run([log] {
                log->writer->finish();
                log->ended = true;
            });
}

std::vector<proxy::WorkerUpdate> Server::take(const Change& change, const config::Config& before) {
    std::vector<proxy::WorkerUpdate> updates(workers_.size());
    for (auto& update : updates) update.hash_seed = config_->process.hash_seed;
    take_upstreams(change, updates);
    take_listeners(change, before, updates);
    return updates;
}

void Server::take_upstreams(const Change& change, std::vector<proxy::WorkerUpdate>& updates) {
    std::map<std::string, std::shared_ptr<proxy::UpstreamShared>> present;
    for (auto& upstream : upstreams_) present.emplace(upstream->name, std::move(upstream));
    upstreams_.clear();
    for (const auto& settings : config_->upstreams) {
        auto& known = known_upstreams_[settings.name];
        const bool is_new = !present.contains(settings.name);
        if (!known.shared)
            known.shared = std::make_shared<proxy::UpstreamShared>(settings, workers_.size());
        known.idle_since = no_deadline;
        known.left = false;
        upstreams_.push_back(known.shared);
        const auto snapshot = change.snapshots.find(settings.name);
        if (snapshot == change.snapshots.end()) {
            for (auto& update : updates) update.upstreams.push_back({.shared = known.shared});
            continue;
        }
        const auto shared_settings = std::make_shared<const config::Upstream>(settings);
        known.shared->configure(settings);
        for (unsigned i = 0; i < updates.size(); ++i) {
            auto& next = updates[i].upstreams.emplace_back();
            next.shared = known.shared;
            if (const auto tls = change.tls.upstreams.find(settings.name);
                tls != change.tls.upstreams.end())
                next.tls = tls->second;
            if (is_new) {
                next.fresh = new proxy::UpstreamContext(known.shared, shared_settings,
                                                        snapshot->second, i, entropy());
            } else {
                next.changed = shared_settings;
                next.snapshot = snapshot->second;
            }
        }
    }
    for (auto& [name, known] : known_upstreams_)
        known.left = find_named(config_->upstreams, name) == nullptr;
}

void Server::take_listeners(const Change& change, const config::Config& before,
                            std::vector<proxy::WorkerUpdate>& updates) {
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < config_->upstreams.size(); ++i)
        places.emplace(config_->upstreams[i].name, i);
    std::map<std::string, std::shared_ptr<proxy::ListenerShared>> present;
    for (auto& listener : listeners_) present.emplace(listener->settings.name, std::move(listener));
    listeners_.clear();
    access_ = change.access;
    for (std::size_t i = 0; i < config_->listeners.size(); ++i) {
        const auto& settings = config_->listeners[i];
        auto& known = known_listeners_[settings.name];
        if (!known.shared)
            known.shared = std::make_shared<proxy::ListenerAccount>(settings.name, workers_.size());
        known.idle_since = no_deadline;
        auto& listener = present[settings.name];
        const auto* old = find_named(before.listeners, settings.name);
        if (!listener || old == nullptr || *old != settings) {
            listener = std::make_shared<proxy::ListenerShared>(settings, known.shared,
                                                               source_table(), listener.get());
            listener->take_effect();
            listener->access = access_[i];
            if (const auto tls = change.tls.listeners.find(settings.name);
                tls != change.tls.listeners.end())
                listener->tls = tls->second;
        }
        listeners_.push_back(listener);
        const auto split = change.splits.find(settings.name);
        for (auto& update : updates) {
            auto& next = update.listeners.emplace_back();
            next.shared = listener;
            if (split != change.splits.end()) next.split = split->second;
            for (const auto& route : listener->routes)
                next.upstreams.push_back(places.at(route.upstream));
        }
    }
    for (auto& [name, known] : known_listeners_)
        known.left = find_named(config_->listeners, name) == nullptr;
}

// Sessions of a listener that has left end as the upstream that they are at lets them.
void Server::drain_left(const config::Config& before) {
    for (const auto& listener : before.listeners)
        if (find_named(config_->listeners, listener.name) == nullptr)
            drain_listener(listener.name, before);
}

void Server::drain_listener(const std::string& name, const config::Config& settings_of) {
    const auto& account = known_listeners_[name].shared;
    for (const auto& [upstream, cells] : account->routes) {
        const auto* settings = find_named(settings_of.upstreams, upstream);
        if (settings == nullptr) continue;
        for (auto& worker : workers_)
            worker->send([&worker = *worker, account, name = upstream, drain = settings->drain] {
                const proxy::DrainPlan plan(worker.loop().now(), drain.wait, drain.close_over);
                worker.add_drain(proxy::SessionDrain({.listener = account, .upstream = name}, plan,
                                                     CloseReason::drained));
            });
    }
}

bool Server::drain_listener(const std::string& name) {
    if (find_named(config_->listeners, name) == nullptr) return false;
    drain_listener(name, *config_);
    return true;
}

// Enough for every connection to come from a source of its own.
balancer::SourceTable::Size Server::source_table() const noexcept {
    return {.sources = std::clamp<std::size_t>(options_.max_connections * 2, fewest_sources,
                                               most_sources)};
}

std::vector<std::shared_ptr<proxy::ListenerAccount>> Server::departed_listeners() const {
    std::vector<std::shared_ptr<proxy::ListenerAccount>> all;
    for (const auto& [name, known] : known_listeners_)
        if (known.left) all.push_back(known.shared);
    return all;
}

std::vector<std::shared_ptr<proxy::UpstreamShared>> Server::departed_upstreams() const {
    std::vector<std::shared_ptr<proxy::UpstreamShared>> all;
    for (const auto& [name, known] : known_upstreams_)
        if (known.left) all.push_back(known.shared);
    return all;
}

void Server::forget_departed(TimePoint now) {
    const auto forget = [now](auto& all) {
        for (auto& [name, known] : all) {
            const bool idle = known.left && known.shared->connections.used() == 0;
            if (!idle)
                known.idle_since = no_deadline;
            else if (known.idle_since == no_deadline)
                known.idle_since = now;
        }
        std::erase_if(all, [now](const auto& item) {
            const TimePoint since = item.second.idle_since;
            return since != no_deadline && now - since >= remembered;
        });
    };
    forget(known_listeners_);
    forget(known_upstreams_);
}

}  // namespace penstock::app
