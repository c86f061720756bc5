// A worker goes by another configuration.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "proxy/pool/warm_pool.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

void Worker::apply(WorkerUpdate update) {
    ++changes_;
    const bool seed_changed = std::exchange(hash_seed_, update.hash_seed) != update.hash_seed;
    if (update.access_log) log_.configure(update.access_log->writer, update.access_log->settings);
    take_upstreams(update.upstreams);
    take_listeners(update.listeners, seed_changed);
    take_sockets(std::move(update.sockets));
    take_over_early();
    if (running_) resume_accepting();  // limits may be others
}

void Worker::take_upstreams(std::vector<WorkerUpdate::Upstream>& upstreams) {
    std::unordered_map<const UpstreamShared*, UpstreamPtr> before;
    for (auto& upstream : upstreams_) before.emplace(upstream->shared.get(), std::move(upstream));
    upstreams_.clear();
    upstreams_.reserve(upstreams.size());
    for (auto& [shared, fresh, changed, snapshot, tls] : upstreams) {
        if (fresh) {
            upstreams_.push_back(std::move(fresh));
            upstreams_.back()->use_tls(std::move(tls));
            set_up_pool(*upstreams_.back());
            continue;
        }
        const auto known = before.find(shared.get());
        UpstreamContext& upstream = *upstreams_.emplace_back(std::move(known->second));
        before.erase(known);
        if (!changed) continue;
        const config::Pool pool = upstream.settings().pool;
        const auto trust = upstream.settings().tls;
        upstream.change(std::move(changed), std::move(snapshot));
        // Warm connections go by the rules that they were opened under.
        const bool other_tls = upstream.use_tls(std::move(tls)) || upstream.settings().tls != trust;
        if (upstream.settings().pool != pool || other_tls) set_up_pool(upstream);
        if (upstream.pool) upstream.pool->on_availability();
        wake_waiting(upstream);
    }
    for (auto& [shared, upstream] : before) leaving_.push_back(std::move(upstream));
}

void Worker::let_leave() {
    for (const auto& upstream : std::exchange(leaving_, {})) leave(*upstream);
}

// Warm connections of a pool with other figures are opened anew.
void Worker::set_up_pool(UpstreamContext& upstream) {
    if (upstream.pool) upstream.pool->close();
    upstream.pool.reset();
    if (upstream.settings().pool.min_idle == 0) return;
    upstream.pool = std::make_unique<WarmPool>(*this, upstream);
    if (running_) upstream.pool->start();
}

// Its sessions hold it, and its backends, as long as they last.
void Worker::leave(UpstreamContext& upstream) {
    if (upstream.pool) upstream.pool->close();
    upstream.pool.reset();
    upstream.leave();
    for (const auto& lane : upstream.lanes()) resume_held(*lane);
    wake_waiting(upstream);
}

void Worker::take_listeners(const std::vector<WorkerUpdate::Listener>& listeners,
                            bool seed_changed) {
    std::unordered_map<const ListenerShared*, ListenerPtr> before;
    for (auto& listener : listeners_) before.emplace(listener->shared.get(), std::move(listener));
    listeners_.clear();
    listeners_.reserve(listeners.size());
    left_listeners_.clear();
    for (const auto& [shared, places, split] : listeners) {
        std::erase_if(drains_, [&](const SessionDrain& drain) {
            return drain.scope().listener == shared->account;  // it is back
        });
        std::vector<UpstreamPtr> upstreams;
        for (const std::size_t place : places) upstreams.push_back(upstreams_[place]);
        const auto known = before.find(shared.get());
        // One of its upstreams may have gone and come back: by name it is the same.
        const bool stays =
            known != before.end() && !seed_changed &&
            std::ranges::equal(upstreams, known->second->routes, {}, {}, &Route::upstream);
        ListenerPtr next = stays ? known->second : make_listener(shared, upstreams);
        if (stays) next->look_at_upstreams();
        if (!stays && known != before.end()) {
            next->access = known->second->access;
            next->tls = known->second->tls;
        }
        if (!stays && !split.empty()) set_split(*next, split);
        if (known != before.end()) before.erase(known);
        listeners_.push_back(std::move(next));
    }
    // Their limit may be another. One calls the next as long as there are places.
    for (const auto& listener : listeners_)
        if (!listener->account().handshake_rooms[index_].empty())
            wake_handshake(listener->account());
    std::unordered_set<const ListenerAccount*> present;
    for (const auto& listener : listeners_) present.insert(listener->shared->account.get());
    for (auto& [shared, listener] : before)
        if (!present.contains(shared->account.get()))
            left_listeners_.push_back(std::move(listener));
}

ListenerPtr Worker::make_listener(std::shared_ptr<ListenerShared> shared,
                                  const std::vector<UpstreamPtr>& upstreams) {
    // Lanes are made now, not when the first client asks.
    for (const auto& upstream : upstreams) {
        upstream->lane(shared->settings.role);
        for (const auto& route : shared->settings.routes) upstream->lane(route.role);
    }
    return new ListenerContext(std::move(shared), upstreams, index_, hash_seed_, random_);
}

void Worker::take_sockets(std::vector<WorkerUpdate::Socket> sockets) {
    std::erase_if(stopped_acceptors_, [](const auto& acceptor) { return acceptor->ended(); });
    std::unordered_map<int, std::unique_ptr<Acceptor>> before;
    for (auto& acceptor : acceptors_) before.emplace(acceptor->fd(), std::move(acceptor));
    acceptors_.clear();
    for (auto& [fd, listener, fresh] : sockets) {
        if (!fresh) {
            const auto known = before.find(fd);
            acceptors_.push_back(std::move(known->second));
            before.erase(known);
            acceptors_.back()->serve(listeners_[listener]);
            continue;
        }
        acceptors_.push_back(
            std::make_unique<Acceptor>(*this, listeners_[listener], std::move(fresh)));
        if (running_) start(*acceptors_.back());
    }
    for (auto& [fd, acceptor] : before) {
        // Who waits in its queue comes to the listener as it is now, if there still is one.
        const auto& account = acceptor->listener().shared->account;
        const auto follower = std::ranges::find_if(listeners_, [&](const ListenerPtr& listener) {
            return listener->shared->account == account;
        });
        if (follower != listeners_.end()) acceptor->serve(*follower);
        acceptor->stop();
        stopped_acceptors_.push_back(std::move(acceptor));
    }
}

void Worker::start(Acceptor& acceptor) {
    if (const auto error = acceptor.start())
        shared_.log.error("listener {}: cannot watch its socket: {}",
                          acceptor.listener().settings().name, error.message());
}

}  // namespace penstock::proxy
