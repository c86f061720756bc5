#include "proxy/worker.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "proxy/pool/warm_pool.hpp"
#include "proxy/setup.hpp"

namespace penstock::proxy {

namespace {

constexpr Duration drain_tick = std::chrono::milliseconds(50);
constexpr Duration error_log_interval = std::chrono::seconds(5);  // of each kind
constexpr unsigned worker_shift = 48;

}  // namespace

Worker::Worker(WorkersShared& shared, const WorkerOptions& options, LogWriter* log_writer)
    : shared_(shared),
      index_(options.index),
      loop_(options.buffer_cap_bytes),
      log_(log_writer, options.access_log, loop_.wheel(), cells_),
      random_(Random::from_entropy()),
      next_sequence_(std::uint64_t{options.index} << worker_shift),
      accept_errors_(error_log_interval),
      internal_errors_(error_log_interval) {}

Worker::~Worker() = default;

void Worker::configure(const std::vector<std::shared_ptr<UpstreamShared>>& upstreams,
                       const std::vector<std::shared_ptr<ListenerShared>>& listeners) {
    for (const auto& upstream : upstreams) {
        auto& context = upstreams_.emplace_back(new UpstreamContext(upstream, random_.next()));
        context->sources = SourceAddresses(upstream->settings.source_address, index_);
        if (upstream->settings.pool.min_idle != 0)
            context->pool = std::make_unique<WarmPool>(*this, *context);
    }
    for (const auto& listener : listeners)
        listeners_.push_back(new ListenerContext(listener, router_of(listener->settings)));
}

Router Worker::router_of(const config::Listener& listener) {
    const auto upstream_of = [this](const std::string& name) {
        const auto found = std::ranges::find(upstreams_, name, [](const UpstreamPtr& upstream) {
            return std::string_view(upstream->settings().name);
        });
        return found == upstreams_.end() ? nullptr : *found;
    };
    if (listener.split.empty()) return Router(upstream_of(listener.upstream));
    std::vector<UpstreamPtr> parts;
    for (const auto& part : listener.split) parts.push_back(upstream_of(part.upstream));
    return {listener, std::move(parts), shared_.hash_seed, random_};
}

void Worker::add_socket(std::size_t listener, net::UniqueFd socket) {
    acceptors_.push_back(
        std::make_unique<Acceptor>(*this, listeners_[listener], std::move(socket)));
}

void Worker::run() {
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
    UpstreamShared& shared = *upstream.shared;
    if (shared.line.waiting() == 0 || !upstream.has_room()) return;
    const auto called = shared.line.call_next(loop_.now());
    if (!called) return;
    Worker* worker = shared_.workers[*called];
    worker->send([worker, to = upstream.shared] { worker->wake_called(*to); });
}

void Worker::wake_called(UpstreamShared& upstream) noexcept {
    while (Waiter* called = upstream.line.take_called(index_))
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
    if (upstream.line.waiting() != 0) ask_for_warm(upstream, workers_left);
}

UpstreamContext* Worker::context_of(const UpstreamShared& upstream) noexcept {
    const auto found = std::ranges::find_if(
        upstreams_, [&](const UpstreamPtr& context) { return context->shared.get() == &upstream; });
    return found == upstreams_.end() ? nullptr : found->get();
}

void Worker::set_available(const UpstreamShared& upstream, std::uint32_t backend, bool available) {
    UpstreamContext* context = context_of(upstream);
    if (context == nullptr) return;
    context->selector.set_available(backend, available);
    if (context->pool) context->pool->on_availability(backend);
    if (!context->selector.any_available()) return;
    context->hold_room.resume(loop_.now(), [](Held& held, TimePoint when) {
        static_cast<SessionHeld&>(held).session.wake_at(when);
    });
    call_waiting(*context);
}

void Worker::set_access(std::size_t listener, std::shared_ptr<const AccessPolicy> policy) {
    listeners_[listener]->access = std::move(policy);
}

void Worker::resume_accepting() {
    for (auto& acceptor : acceptors_) acceptor->resume();
}

void Worker::drain(const DrainPlan& plan, std::function<void()> when_empty) {
    drain_plan_ = plan;
    sessions_at_closing_ = 0;
    when_empty_ = std::move(when_empty);
    if (session_count_ == 0) {
        if (when_empty_) std::exchange(when_empty_, {})();
        return;
    }
    loop_.wheel().file(*this, drain_plan_.closing_begins());
}

void Worker::on_timer(TimePoint now) {
    if (sessions_at_closing_ == 0) sessions_at_closing_ = session_count_;
    close_due_sessions(now);
    if (session_count_ != 0)
        loop_.wheel().file(*this,
                           std::min(now + drain_tick, std::max(now, drain_plan_.deadline())));
}

// Idle ones first, and before the deadline only those that can end by FIN without losing a byte.
void Worker::close_due_sessions(TimePoint now) {
    if (now >= drain_plan_.deadline()) return abort_all(CloseReason::drained);
    const std::size_t due = drain_plan_.gone_by(now, sessions_at_closing_);
    const std::size_t gone = sessions_at_closing_ - std::min(session_count_, sessions_at_closing_);
    if (due <= gone) return;
    std::vector<Session*> quiet;
    for (auto& session : sessions_)
        if (session.is_quiet(now)) quiet.push_back(&session);
    const std::size_t count = std::min(due - gone, quiet.size());
    std::ranges::partial_sort(quiet, quiet.begin() + static_cast<std::ptrdiff_t>(count), {},
                              &Session::last_activity);
    for (std::size_t i = 0; i < count; ++i) quiet[i]->abort(CloseReason::drained);
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
