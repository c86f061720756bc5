#include "proxy/worker.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/free_list.hpp"
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

void Worker::run() {
    // What was sent before, verdicts above all, counts for the first connection already.
    loop_.turn(Duration::zero());
    running_ = true;
    for (auto& acceptor : acceptors_) start(*acceptor);
    for (auto& upstream : upstreams_)
        if (upstream->pool) upstream->pool->start();
    loop_.run();
    finish();
}

// Frames and sessions go back to this thread's free lists, so this cannot wait for the destructor.
void Worker::finish() {
    loop_.wheel().cancel(*this);
    stop_accepting();
    let_leave();
    for (auto& upstream : upstreams_)
        if (upstream->pool) upstream->pool->close();
    abort_all(CloseReason::drained);
    while (!loop_.ready().empty() || !loop_.background().empty() || session_count_ != 0)
        loop_.turn(Duration::zero());
    for (auto& [listener, accepted, changes] : std::exchange(early_, {}))
        refuse_handed(listener, std::move(accepted), CloseReason::drained);
    log_.flush();
    closed_sessions_.clear();
}

void Worker::stop_accepting() {
    for (auto& acceptor : acceptors_) acceptor->stop();
}

void Worker::let_go() {
    for (auto& acceptor : acceptors_) acceptor->let_go();
}

void Worker::admit(ListenerContext& listener, Accepted accepted) {
    const std::size_t chosen = choose_worker(index_, shared_.loads);
    shared_.loads.add(chosen);
    if (chosen == index_) return start_session(listener, std::move(accepted));
    cells_.handed_off.add();
    Worker* other = shared_.workers[chosen];
    try {
        other->send(
            [other, to = listener.shared, at = changes_, fresh = std::move(accepted)]() mutable {
                other->take_over(to, std::move(fresh), at);
            });
    } catch (const std::bad_alloc&) {
        shared_.loads.remove(chosen);
        listener.cells.closed_by(CloseReason::overload).add();
        report_failure(std::current_exception());
    }
}

// The configuration reaches the workers one after the other: one that is behind has it in its mail.
void Worker::take_over(const std::shared_ptr<ListenerShared>& listener, Accepted accepted,
                       std::uint64_t changes) {
    ListenerContext* const context = context_of(*listener->account);
    if (context == nullptr && changes_ < changes) {
        early_.push_back({listener, std::move(accepted), changes});
        return;
    }
    // The other one was two changes behind, and the listener has gone.
    if (context == nullptr)
        return refuse_handed(listener, std::move(accepted), CloseReason::overload);
    // A session gives its source's place back to the gate of its own listener: it may be another.
    if (!context->shared->gate.shares_sources(listener->gate)) accepted.source_permit.release();
    start_session(*context, std::move(accepted));
}

void Worker::take_over_early() {
    for (auto& [listener, accepted, changes] : std::exchange(early_, {}))
        take_over(listener, std::move(accepted), changes);
}

void Worker::refuse_handed(const std::shared_ptr<ListenerShared>& listener, Accepted accepted,
                           CloseReason reason) {
    shared_.loads.remove(index_);
    listener->account->cells[index_].closed_by(reason).add();
    {
        const Accepted gone = std::move(accepted);
    }
    wake_acceptors(*listener->account);
}

void Worker::save_memory(bool is_short) {
    loop_.buffers().squeeze(is_short);
    if (is_short) free_list::trim();
}

void Worker::start_session(ListenerContext& listener, Accepted accepted) {
    Session* session = nullptr;
    try {
        session = new Session(*this, &listener, std::move(accepted), next_sequence());
    } catch (const std::bad_alloc&) {  // costs this connection, and nothing else
        shared_.loads.remove(index_);
        listener.cells.closed_by(CloseReason::overload).add();
        return report_failure(std::current_exception());
    }
    try {
        session->start();
    } catch (const std::bad_alloc&) {
        report_failure(std::current_exception());
        session->abort(CloseReason::internal);
    }
}

void Worker::link(Session& session) noexcept {
    sessions_.push_back(session);
    ++session_count_;
}

void Worker::unlink(Session& session, ListenerAccount& listener) noexcept {
    sessions_.erase(sessions_.iterator_to(session));
    --session_count_;
    shared_.loads.remove(index_);
    wake_acceptors(listener);
    if (session_count_ == 0 && when_empty_) std::exchange(when_empty_, {})();
}

void Worker::wake_acceptors(ListenerAccount& listener) noexcept {
    wake_one(shared_.waiting);
    wake_one(listener.waiting);
}

void Worker::wake_one(WaitingWorkers& waiting) noexcept {
    if (const auto woken = waiting.take_one()) {
        Worker* worker = shared_.workers[*woken];
        worker->send([worker] { worker->resume_accepting(); });
    }
}

void Worker::call_waiting(UpstreamContext& of) noexcept {
    // One that has left and come back has another context, for the same line.
    UpstreamContext* const present = of.left ? context_of(*of.shared) : nullptr;
    UpstreamContext& upstream = present != nullptr ? *present : of;
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
    wake_waiting(*context);
}

void Worker::wake_waiting(UpstreamContext& upstream) {
    for (const auto& lane : upstream.lanes())
        if (!lane->selector.any_available())
            call_all(upstream, *lane);
        else if (!upstream.paused)
            resume_held(*lane);
    call_waiting(upstream);
}

void Worker::end_sessions(const health::EndSessions& which, const config::Drain& drain) {
    const TimePoint now = loop_.now();
    DrainScope scope{which.backend, which.asked};
    // A backend that is down may get clients nevertheless: those who came later are none of it.
    if (which.cause != health::EndCause::removed) scope.before = now;
    const DrainPlan plan = which.at_once ? DrainPlan(now, Duration::zero(), Duration::zero())
                                         : DrainPlan(now, drain.wait, drain.close_over);
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
    if (shared_.on_alarm) shared_.on_alarm(upstream.shared, backend);
}

ListenerContext* Worker::context_of(const ListenerAccount& account) noexcept {
    for (const auto* list : {&listeners_, &left_listeners_})
        for (const ListenerPtr& listener : *list)
            if (listener->shared->account.get() == &account) return listener.get();
    return nullptr;
}

void Worker::set_access(const ListenerAccount& listener,
                        std::shared_ptr<const AccessPolicy> policy) {
    if (ListenerContext* context = context_of(listener)) context->access = std::move(policy);
}

void Worker::set_tls(const ListenerAccount& listener,
                     std::shared_ptr<const net::tls::ServerContext> context) {
    if (ListenerContext* of = context_of(listener)) of->tls = std::move(context);
}

void Worker::set_tls(const UpstreamShared& upstream,
                     std::shared_ptr<const net::tls::ClientContext> context) {
    UpstreamContext* const of = context_of(upstream);
    if (of != nullptr && of->use_tls(std::move(context)) && of->pool) set_up_pool(*of);
}

void Worker::note_limit(ListenerContext& listener, GateLog::Event event, CloseReason reason,
                        const CompactEndpoint& peer) {
    auto told = listener.account().gate_log.report(shared_.log, listener.settings(), event, reason,
                                                   peer, loop_.now());
    if (told && shared_.on_limit)
        shared_.on_limit(listener.settings().name, reason, *std::move(told));
}

void Worker::call_handshake(ListenerAccount& listener) noexcept {
    const auto next = listener.waiting_to_shake.take_one();
    if (!next) return;
    if (*next == index_) return wake_handshake(listener);
    Worker* worker = shared_.workers[*next];
    worker->send([worker, of = listener.shared_from_this()] { worker->wake_handshake(*of); });
}

void Worker::wake_handshake(ListenerAccount& listener) noexcept {
    HandshakeRoom& room = listener.handshake_rooms[index_];
    if (room.empty()) return call_handshake(listener);  // they have left: it is another one's turn
    room.wake_one(loop_.ready());
    if (!room.empty()) listener.waiting_to_shake.mark(index_);
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

void Worker::set_split(const ListenerAccount& listener, const std::vector<std::uint32_t>& weights) {
    if (ListenerContext* context = context_of(listener)) set_split(*context, weights);
}

void Worker::set_split(ListenerContext& listener, const std::vector<std::uint32_t>& weights) {
    listener.router.set_split(
        weights, [&listener](const std::string& name) { return listener.named(name); }, hash_seed_,
        random_);
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
        return again == no_deadline && !drain.may_get_more();
    });
    if (next != no_deadline) loop_.wheel().file(*this, std::max(next, now));
}

void Worker::look_after_left(const ListenerAccount& listener) noexcept {
    for (const auto& drain : drains_)
        if (drain.scope().listener.get() == &listener)
            return loop_.wheel().file(*this, loop_.now());
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
