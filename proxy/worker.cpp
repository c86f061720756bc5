#include "proxy/worker.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "proxy/pool/warm_pool.hpp"
#include "proxy/setup.hpp"

namespace penstock::proxy {

namespace {

constexpr Duration error_log_interval = std::chrono::seconds(5);  // of each kind
constexpr unsigned worker_shift = 48;

CloseReason reason_of(health::EndCause cause) noexcept {
    switch (cause) {
        case health::EndCause::down: return CloseReason::backend_down;
        case health::EndCause::role_changed: return CloseReason::role_changed;
        case health::EndCause::removed: return CloseReason::backend_removed;
    }
    std::unreachable();
}

}  // namespace

Worker::Worker(WorkersShared& shared, const WorkerOptions& options, LogWriter* log_writer)
    : shared_(shared),
      index_(options.index),
      loop_(options.buffer_cap_bytes),
      log_(log_writer, options.access_log, loop_.wheel(), cells_),
      random_(Random::from_entropy()),
      next_sequence_(std::uint64_t{options.index} << worker_shift),
      accept_errors_(error_log_interval),
      internal_errors_(error_log_interval) {
    loop_.observe(*this);
}

Worker::~Worker() = default;

void Worker::configure(const std::vector<std::shared_ptr<UpstreamShared>>& upstreams,
                       const std::vector<std::shared_ptr<ListenerShared>>& listeners) {
    for (const auto& upstream : upstreams) {
        auto& context = upstreams_.emplace_back(new UpstreamContext(upstream, random_.next()));
        context->sources = SourceAddresses(upstream->settings.source_address, index_);
        if (upstream->settings.pool.min_idle != 0)
            context->pool = std::make_unique<WarmPool>(*this, *context);
    }
    for (const auto& listener : listeners) {
        const auto& settings = listener->settings;
        const auto reachable = upstreams_of(settings);
        for (const auto& upstream : reachable) upstream->lane(settings.role);
        listeners_.push_back(new ListenerContext(listener, router_of(settings), reachable));
    }
}

UpstreamPtr Worker::find_upstream(const std::string& name) const {
    const auto found = std::ranges::find(upstreams_, name, [](const UpstreamPtr& upstream) {
        return std::string_view(upstream->settings().name);
    });
    return found == upstreams_.end() ? nullptr : *found;
}

Router Worker::router_of(const config::Listener& listener) {
    if (listener.split.empty()) return Router(find_upstream(listener.upstream));
    std::vector<UpstreamPtr> parts;
    for (const auto& part : listener.split) parts.push_back(find_upstream(part.upstream));
    return {listener, std::move(parts), shared_.hash_seed, random_};
}

std::vector<UpstreamPtr> Worker::upstreams_of(const config::Listener& listener) const {
    std::vector<UpstreamPtr> found;
    if (auto upstream = find_upstream(listener.upstream)) found.push_back(std::move(upstream));
    for (const auto& part : listener.split) {
        auto upstream = find_upstream(part.upstream);
        if (std::ranges::find(found, upstream) == found.end()) found.push_back(std::move(upstream));
    }
    return found;
}

void Worker::add_socket(std::size_t listener, net::UniqueFd socket) {
    acceptors_.push_back(
        std::make_unique<Acceptor>(*this, listeners_[listener], std::move(socket)));
}

void Worker::run() {
    // What was sent before, verdicts above all, counts for the first connection already.
    loop_.turn(Duration::zero());
    for (auto& acceptor : acceptors_)
        if (const auto error = acceptor->start())
            shared_.log.error("listener {}: cannot watch its socket: {}",
                              acceptor->listener().settings().name, error.message());
    for (auto& upstream : upstreams_)
        if (upstream->pool) upstream->pool->start();
    loop_.run();
    finish();
}

// Frames and sessions go back to this thread's free lists, so this cannot wait for the destructor.
void Worker::finish() {
    loop_.wheel().cancel(*this);
    stop_accepting();
    for (auto& upstream : upstreams_)
        if (upstream->pool) upstream->pool->close();
    abort_all(CloseReason::drained);
    while (!loop_.ready().empty() || session_count_ != 0) loop_.turn(Duration::zero());
    log_.flush();
    closed_sessions_.clear();
}

void Worker::stop_accepting() {
    for (auto& acceptor : acceptors_) acceptor->stop();
}

void Worker::admit(ListenerContext& listener, Accepted accepted) {
    const auto place = std::ranges::find(listeners_, &listener, &ListenerPtr::get);
    const auto which = static_cast<std::size_t>(place - listeners_.begin());
    const std::size_t chosen = choose_worker(index_, shared_.loads);
    shared_.loads.add(chosen);
    if (chosen == index_) return start_session(which, std::move(accepted));
    cells_.handed_off.add();
    Worker* other = shared_.workers[chosen];
    other->send([other, which, fresh = std::move(accepted)]() mutable {
        other->start_session(which, std::move(fresh));
    });
}

void Worker::start_session(std::size_t listener, Accepted accepted) {
    Session* session = nullptr;
    try {
        session = new Session(*this, listeners_[listener], std::move(accepted), next_sequence());
    } catch (const std::bad_alloc&) {  // costs this connection, and nothing else
        shared_.loads.remove(index_);
        listeners_[listener]->cells.closed_by(CloseReason::overload).add();
        return report_failure(std::current_exception());
    }
    session->start();
}

void Worker::link(Session& session) noexcept {
    sessions_.push_back(session);
    ++session_count_;
}

void Worker::unlink(Session& session, ListenerShared& listener) noexcept {
    sessions_.erase(sessions_.iterator_to(session));
    --session_count_;
    shared_.loads.remove(index_);
    wake_acceptors(listener);
    if (session_count_ == 0 && when_empty_) std::exchange(when_empty_, {})();
}

void Worker::wake_acceptors(ListenerShared& listener) noexcept {
    wake_one(shared_.waiting);
    wake_one(listener.waiting);
}

void Worker::wake_one(WaitingWorkers& waiting) noexcept {
    if (const auto woken = waiting.take_one()) {
        Worker* worker = shared_.workers[*woken];
        worker->send([worker] { worker->resume_accepting(); });
    }
}

void Worker::call_waiting(UpstreamContext& upstream) noexcept {
    for (const auto& lane : upstream.lanes())
        if (upstream.shared->line(lane->role).waiting() != 0 && upstream.has_room(*lane))
            call_next(upstream, *lane);
}

void Worker::call_next(UpstreamContext& upstream, const Lane& lane) noexcept {
    const auto called = upstream.shared->line(lane.role).call_next(loop_.now());
    if (!called) return;
    Worker* worker = shared_.workers[*called];
    worker->send([worker, to = upstream.shared] { worker->wake_called(*to); });
}

// Only those who wait now: who finds somebody available on its own worker waits again.
void Worker::call_all(UpstreamContext& upstream, const Lane& lane) {
    for (std::size_t left = upstream.shared->line(lane.role).waiting(); left > 0; --left)
        call_next(upstream, lane);
}

void Worker::wake_called(UpstreamShared& upstream) noexcept {
    for (WaitingLine& line : upstream.lines)
        while (Waiter* called = line.take_called(index_))
            static_cast<SessionWaiter*>(called)->session.wake_up().wake(loop_.ready());
}

void Worker::ask_for_warm(UpstreamShared& upstream) noexcept {
    ask_for_warm(upstream, upstream.warm.size());
}

// Asks one worker after the other, in a circle, and itself last.
void Worker::ask_for_warm(UpstreamShared& upstream, std::size_t workers_left) noexcept {
    for (std::size_t next = index_; workers_left > 0;) {
        next = (next + 1) % upstream.warm.size();
        --workers_left;
        if (upstream.warm.at(next) == 0) continue;
        Worker* worker = shared_.workers[next];
        worker->send([worker, workers_left, of = upstream.shared_from_this()] {
            worker->give_up_warm(*of, workers_left);
        });
        return;
    }
}

// What this worker has may be of no use to who waits, or gone by now.
void Worker::give_up_warm(UpstreamShared& upstream, std::size_t workers_left) noexcept {
    UpstreamContext* context = context_of(upstream);
    if (context != nullptr && context->pool && context->pool->give_up_one()) return;
    if (upstream.anybody_waits()) ask_for_warm(upstream, workers_left);
}

UpstreamContext* Worker::context_of(const UpstreamShared& upstream) noexcept {
    const auto found = std::ranges::find_if(
        upstreams_, [&](const UpstreamPtr& context) { return context->shared.get() == &upstream; });
    return found == upstreams_.end() ? nullptr : found->get();
}

void Worker::adopt(const UpstreamShared& upstream, SnapshotPtr snapshot) {
    UpstreamContext* context = context_of(upstream);
    if (context == nullptr) return;
    context->adopt(std::move(snapshot));
    if (context->pool) context->pool->on_availability();
    for (const auto& lane : context->lanes())
        if (!lane->selector.any_available())
            call_all(*context, *lane);
        else if (!context->paused)
            resume_held(*lane);
    call_waiting(*context);
}

void Worker::end_sessions(const UpstreamShared& upstream, const health::EndSessions& which) {
    const TimePoint now = loop_.now();
    DrainScope scope{which.backend, which.asked};
    // A backend that is down may get clients nevertheless: those who came later are none of it.
    if (which.cause != health::EndCause::removed) scope.before = now;
    const auto& [wait, close_over] = upstream.settings.drain;
    const DrainPlan plan = which.at_once ? DrainPlan(now, Duration::zero(), Duration::zero())
                                         : DrainPlan(now, wait, close_over);
    keep_sessions(*which.backend, which.cause);
    add_drain(SessionDrain(std::move(scope), plan, reason_of(which.cause)));
}

void Worker::keep_sessions(const balancer::Backend& backend, health::EndCause cause) {
    std::erase_if(drains_, [&](const SessionDrain& drain) {
        return drain.scope().backend.get() == &backend && drain.reason() == reason_of(cause);
    });
}

void Worker::report_backend_failure(UpstreamContext& upstream, balancer::Backend& backend,
                                    balancer::CircuitPass pass, balancer::Failure how) noexcept {
    if (backend.outcomes().failed(pass, how)) raise_alarm(upstream, backend);
}

void Worker::raise_alarm(UpstreamContext& upstream, const balancer::Backend& backend) noexcept {
    if (shared_.on_alarm) shared_.on_alarm(*upstream.shared, backend);
}

void Worker::set_access(std::size_t listener, std::shared_ptr<const AccessPolicy> policy) {
    listeners_[listener]->access = std::move(policy);
}

std::vector<SessionInfo> Worker::list_sessions(const SessionFilter& filter) const {
    std::vector<SessionInfo> found;
    for (const Session& session : sessions_) {
        if (found.size() >= filter.limit) break;
        if (session.state() != SessionState::closed && session.matches(filter))
            found.push_back(session.info());
    }
    return found;
}

bool Worker::kill(std::uint64_t sequence) {
    const auto found = std::ranges::find(sessions_, sequence, &Session::sequence);
    if (found == sessions_.end() || found->state() == SessionState::closed) return false;
    found->abort(CloseReason::killed);
    return true;
}

void Worker::pause(const UpstreamShared& upstream, bool paused) {
    UpstreamContext* context = context_of(upstream);
    if (context == nullptr) return;
    context->paused = paused;
    // Also where nobody is available: who is not to be held then is refused.
    if (!paused)
        for (const auto& lane : context->lanes()) resume_held(*lane);
}

void Worker::resume_held(Lane& lane) {
    lane.hold_room.resume(loop_.now(), [](Held& held, TimePoint when) {
        static_cast<SessionHeld&>(held).session.wake_at(when);
    });
}

void Worker::set_split(std::size_t listener, const std::vector<std::uint32_t>& weights) {
    ListenerContext& context = *listeners_[listener];
    config::Listener changed = context.settings();
    for (std::size_t i = 0; i < weights.size(); ++i) changed.split[i].weight = weights[i];
    context.router = router_of(changed);
}

void Worker::resume_accepting() {
    for (auto& acceptor : acceptors_) acceptor->resume();
}

void Worker::drain(const DrainPlan& plan, std::function<void()> when_empty) {
    when_empty_ = std::move(when_empty);
    if (session_count_ == 0) {
        if (when_empty_) std::exchange(when_empty_, {})();
        return;
    }
    add_drain(SessionDrain({}, plan, CloseReason::drained));
}

void Worker::add_drain(SessionDrain drain) {
    drains_.push_back(std::move(drain));
    step_drains(loop_.now());
}

void Worker::on_timer(TimePoint now) { step_drains(now); }

// Whatever happened just after the turn's events were received has waited that long.
void Worker::on_turn(Duration busy) noexcept {
    const auto us = whole_us(busy);
    cells_.busy_us.add(us);
    cells_.lag.record(us);
}

void Worker::step_drains(TimePoint now) {
    TimePoint next = no_deadline;
    std::erase_if(drains_, [&](SessionDrain& drain) {
        const TimePoint again = drain.step(sessions_, now);
        next = std::min(next, again);
        return again == no_deadline;
    });
    if (next != no_deadline) loop_.wheel().file(*this, std::max(next, now));
}

void Worker::abort_all(CloseReason reason) {
    for (auto next = sessions_.begin(); next != sessions_.end();) (next++)->abort(reason);
}

void Worker::report_failure(std::exception_ptr error) noexcept {
    try {
        std::rethrow_exception(std::move(error));
    } catch (const std::exception& e) {
        shared_.log.error("worker {}: a connection failed: {}", index_, e.what());
    } catch (...) {
        shared_.log.error("worker {}: a connection failed", index_);
    }
}

void Worker::report_accept_error(const ListenerContext& listener, int error,
                                 net::AcceptFailure failure) {
    const auto left_out = accept_errors_.admit(loop_.now());
    if (!left_out) return;
    if (failure == net::AcceptFailure::fatal)
        return shared_.log.error(
            "listener {}: accept: {} ({} more since the last message); its listening socket is "
            "broken and accepts nothing on worker {}. Trying again; restart if this lasts",
            listener.settings().name, errno_name(error), *left_out, index_);
    shared_.log.warn(
        "listener {}: accept: {} ({} more since the last message); accepting pauses "
        "until something is freed. Raise the limit on open files if this lasts",
        listener.settings().name, errno_name(error), *left_out);
}

void Worker::report_internal(int error) noexcept {
    if (const auto left_out = internal_errors_.admit(loop_.now()))
        shared_.log.error(
            "worker {}: a system call on a connection failed: {}; the connection was "
            "ended ({} more since the last message)",
            index_, errno_name(error), *left_out);
}

}  // namespace penstock::proxy
