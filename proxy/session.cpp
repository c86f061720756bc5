#include "proxy/session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "proxy/connector.hpp"
#include "proxy/front/arrival.hpp"
#include "proxy/mover.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

using std::chrono::milliseconds;

// Backend connections get their keepalive options when they have lived this long: short ones never
// pay for the system calls, and the first probe is due much later anyway.
constexpr Duration keepalive_after = std::chrono::seconds(2);
// A connection that has lived so long is a success of its backend, though it may never say a word.
constexpr Duration success_after = std::chrono::seconds(10);
constexpr Duration quiet_for_drain = std::chrono::seconds(1);
constexpr Duration longest_flush = std::chrono::minutes(1);  // where half_closed is "never"
constexpr std::uint16_t first_flush_wait_ms = 8;
constexpr std::uint16_t longest_flush_wait_ms = 256;

// The kernel gave up on the peer by itself: keepalive, or retransmissions without an answer.
bool means_lost(int error) noexcept {
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH;
}

// Our own trouble, not the peer's.
bool is_local_failure(int error) noexcept {
    return error == ENOMEM || error == ENOBUFS || error == EBADF || error == EINVAL;
}

net::SocketKind kind_of(const CompactEndpoint& peer) noexcept {
    return peer.is_unix() ? net::SocketKind::unix_stream : net::SocketKind::tcp;
}

}  // namespace

Session::Session(Worker& worker, ListenerPtr listener, Accepted accepted, std::uint64_t sequence)
    : worker_(worker),
      listener_(std::move(listener)),
      client_socket_(*this),
      backend_socket_(*this),
      accepted_at_(worker.loop().now()),
      accepted_wall_(accepted.at),
      sequence_(sequence),
      peer_(accepted.peer),
      local_(accepted.local),
      header_(accepted.header),
      role_(listener_->settings().role) {
    if (!accepted.would_refuse.empty()) extras().would_refuse = accepted.would_refuse;
    slots_.process = accepted.process_permit.keep();
    slots_.listener = accepted.listener_permit.keep();
    source_ = accepted.source_permit.keep();
    client_socket_.adopt(std::move(accepted.fd), kind_of(peer_));
    times_.last_activity = accepted_at_;
}

Session::~Session() = default;

void Session::start() {
    worker_.link(*this);
    linked_ = true;
    if (worker_.log().enabled())
        worker_.log().write(make_record(LogRecord::Event::open), worker_.loop().now());
    if (const auto error = worker_.loop().poller().add(client_socket_, net::Poller::stream_events))
        return abort(CloseReason::internal, error.value());
    if (listener_->receives || header_ != HeaderRule::none) {
        state_ = SessionState::arriving;
        ++coroutines_;
        receive_client(*this);
    } else if (choose_upstream()) {
        begin_connecting();
    }
}

void Session::begin_connecting() {
    state_ = SessionState::connecting;
    // What hung up while it was received raises no other event.
    if ((client_socket_.seen() & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        on_hangup(client_socket_);
    if (state_ == SessionState::closed) return;
    ++coroutines_;
    connect_session(*this);
}

void Session::wake_at(TimePoint deadline) noexcept { worker_.loop().wheel().file(*this, deadline); }

void Session::keep_upstream_slot(balancer::Permit slot) noexcept { slots_.upstream = slot.keep(); }

void Session::release_upstream_slot() noexcept {
    if (!slots_.upstream) return;
    slots_.upstream = false;
    upstream().shared->connections.give_back();
    worker_.call_waiting(upstream());
}

void Session::take_backend(balancer::Backend& backend, balancer::Permit slot,
                           balancer::CircuitPass pass) noexcept {
    backend_ = &backend;
    pass_ = pass;
    judged_ = false;
    slots_.backend = slot.keep();
    backend_->session_started();
}

void Session::drop_backend(AttemptError error, Duration took) {
    judge_attempt(error);
    extras().failed_attempts.push_back({backend_->shared_from_this(), error, microseconds(took)});
    if (secured_) extras_->front->backend.reset();
    backend_socket_.close();
    release_source_place();
    backend_->session_ended();
    if (slots_.backend) backend_->slots().give_back();
    slots_.backend = false;
    backend_ = nullptr;
    worker_.call_waiting(upstream());
}

void Session::add_queue_time(Duration waited) { extras().queued += waited; }

void Session::release_source_place() noexcept {
    if (upstream_) upstream_->sources.release(source_place_);
}

// The order matters: who sees a slot of the upstream or the backend taken waits in its line, and is
// called after all of them are free.
void Session::give_slots_back() noexcept {
    if (backend_ != nullptr) {
        judge_nothing();
        backend_->session_ended();
        if (slots_.backend) backend_->slots().give_back();
    }
    if (slots_.upstream) upstream().shared->connections.give_back();
    if (slots_.backend || slots_.upstream) worker_.call_waiting(upstream());
    if (source_ != balancer::SourcePermit::none)
        listener_->shared->gate.leave(std::exchange(source_, balancer::SourcePermit::none));
    if (slots_.listener) listener_->account().connections.give_back();
    if (slots_.process) worker_.shared().connections.give_back();
    slots_ = {};
}

void Session::relay(Duration took, bool warm) {
    const TimePoint now = worker_.loop().now();
    const auto& timeouts = listener_->settings().timeouts;
    state_ = SessionState::relaying;
    if (Front* front = front_if()) front->facts->problem.clear();  // of attempts before
    connect_us_ = microseconds(took);
    warm_ = warm;
    ready_at_ = now;
    listener_->cells_of(*upstream_).setup.record(whole_us(now - accepted_at_));
    if (worker_.log().enabled()) backend_local_ = net::local_endpoint(backend_socket_.fd());
    times_.last_activity = now;
    times_.milestone_due = now + keepalive_after;
    times_.lifetime_ends = deadline_after(
        accepted_at_, jittered_lifetime(timeouts.lifetime, timeouts.lifetime_jitter,
                                        timeouts.lifetime == never ? 0 : worker_.random().unit()));
    times_.peer_check_due =
        deadline_after(now, listener_->timeouts.peer == never
                                ? never
                                : DeadPeerJudge::first_sample_after(listener_->timeouts.peer));
    const auto& settings = listener_->settings();
    if (settings.upload_rate != 0 || settings.download_rate != 0) {
        extras().pacing =
            std::make_unique<Pacing>(settings.upload_rate, settings.download_rate, now);
        paced_ = true;
    }
    file_relay_deadline();
    coroutines_ = static_cast<std::uint8_t>(coroutines_ + 2);
    pump(*this, Side::backend);
    pump(*this, Side::client);
}

net::Root Session::pump(Session& self, Side from) {
    bool ended = false;
    while (self.state_ == SessionState::relaying) {
        const Step step = ended ? Step{StepKind::end_of_stream} : self.move(from);
        if (step.kind == StepKind::wait) {
            co_await step.latch->wait(step.role);
        } else if (step.kind == StepKind::yield) {
            co_await self.worker_.loop().ready().yield();
        } else if (step.kind == StepKind::end_of_stream && !self.pass_end_on(from)) {
            ended = true;
            co_await self.socket(opposite(from)).writable.wait(net::WaitRole::writer);
        } else {
            self.on_flow_ended(from, step.kind);
            break;
        }
    }
    self.leave();
}

Step Session::move(Side from) {
    if (paced_) return move_paced(from);
    if (secured_) {
        const auto [step, moved] = move_secured(from, unlimited);
        if (moved > 0) on_moved(from, moved);
        return step;
    }
    Mover mover(worker_.loop(), flow(from), socket(from), socket(opposite(from)));
    const Step step = mover.run();
    if (mover.moved() > 0) on_moved(from, mover.moved());
    return step;
}

// The rate counts what was delivered. A pump that may not move more waits for time alone: readiness
// would only wake it for nothing.
Step Session::move_paced(Side from) {
    Pace& pace = this->pace(from);
    const TimePoint now = worker_.loop().now();
    const auto [step, moved] = move_secured(from, pace.budget.available(now));
    pace.budget.take(moved);
    if (moved > 0) on_moved(from, moved);
    if (step.kind != StepKind::pause) return step;
    if (has_failed(from)) {
        // What it sent before is all there will be: neither that nor the error is held back.
        pace.budget.lift();
        return {StepKind::yield};
    }
    pace.paused_until = std::max(pace.budget.worth_waking_at(), now + TimingWheel::resolution);
    times_.paused_until = extras_->pacing->next_end();
    file_relay_deadline();
    return {StepKind::wait, net::WaitRole::reader, &pace.resumed};
}

bool Session::has_failed(Side side) noexcept {
    net::Socket& of = socket(side);
    return of.failed() || ((of.seen() & (EPOLLERR | EPOLLHUP)) != 0 && of.check_error());
}

// The time of a pause counts as activity, so that idle time-outs shorter than it do not fire.
void Session::end_pauses(TimePoint now) noexcept {
    for (const Side from : {Side::client, Side::backend})
        if (pace(from).paused_until <= now) pace(from).end_pause(worker_.loop().ready());
    times_.paused_until = extras_->pacing->next_end();
    times_.last_activity = now;
}

void Session::on_moved(Side from, std::size_t bytes) noexcept {
    const TimePoint now = worker_.loop().now();
    times_.last_activity = now;
    count_bytes(from, bytes);
    if (from == Side::backend && first_byte_us_ == unknown_time) {
        first_byte_us_ = microseconds(now - ready_at_);
        backend_cells().first_byte.record(first_byte_us_);
        if (upstream().wants_latency) backend_->latency().record(now - ready_at_, now);
        judge_success();
        keep_backend_session();
    }
    if (times_.peer_check_due == no_deadline && listener_->timeouts.peer != never) {
        times_.peer_check_due = now + DeadPeerJudge::first_sample_after(listener_->timeouts.peer);
        file_relay_deadline();
    }
}

void Session::count_bytes(Side from, std::size_t bytes) noexcept {
    if (from == Side::client) {
        listener_->cells.bytes_to_backend.add(bytes);
        backend_cells().bytes_to_backend.add(bytes);
    } else {
        listener_->cells.bytes_to_client.add(bytes);
        backend_cells().bytes_to_client.add(bytes);
    }
}

void Session::on_flow_ended(Side from, StepKind how) noexcept {
    if (how == StepKind::end_of_stream) return on_end_of_stream(from);
    if (how == StepKind::read_failed) return on_side_failed(from);
    // The receiver is gone. What it sent before still has to arrive: its own pump reads on until
    // the error, which now is certain to come, shows there.
    const Side to = opposite(from);
    flow(from).write_failed = true;
    const int error = socket(to).error().value();
    if (is_local_failure(error)) return abort(CloseReason::internal, error);
    if (flow(to).delivered_end || flow(to).write_failed) return on_side_failed(to);
    socket(to).readable.set(worker_.loop().ready());
}

void Session::on_end_of_stream(Side from) noexcept {
    flow(from).delivered_end = true;
    if (closed_by_ == ClosedBy::none)
        closed_by_ = from == Side::client ? ClosedBy::client : ClosedBy::backend;
    if (flow(opposite(from)).delivered_end) {
        judge_success();
        return close(CloseReason::completed, closed_by_, 0);
    }
    if (secured(opposite(from)) != nullptr) front().bytes_at_end = flow(opposite(from)).bytes;
    times_.half_closed_since = worker_.loop().now();
    file_relay_deadline();
}

void Session::on_side_failed(Side side) noexcept {
    const int error = socket(side).error().value();
    note_tls_problem(side);
    const bool lost = means_lost(error);
    if (is_local_failure(error)) return abort(CloseReason::internal, error);
    if (ends_without_a_word(side))
        fail_slowly(side, CloseReason::completed, 0);
    else if (side == Side::client)
        fail_slowly(side, lost ? CloseReason::client_lost : CloseReason::client_reset, error);
    else
        fail_slowly(side, lost ? CloseReason::backend_lost : CloseReason::backend_reset, error);
}

// What was read from the failed side has been handed to the other side's kernel queue. It arrives
// before the reset only if the reset waits until the peer has acknowledged it.
void Session::fail_slowly(Side failed, CloseReason reason, int error) noexcept {
    if (state_ != SessionState::relaying) return;
    const TimePoint now = worker_.loop().now();
    if (reason == CloseReason::completed)
        judge_nothing();
    else if (failed == Side::backend)
        judge_lost_backend(reason);
    state_ = SessionState::flushing;
    // Of one that is complete, the side that ended first.
    if (reason != CloseReason::completed)
        closed_by_ = failed == Side::client ? ClosedBy::client : ClosedBy::backend;
    reason_ = reason;
    error_ = static_cast<std::uint16_t>(error);
    flushing_to_ = opposite(failed);
    socket(failed).reset();
    if (failed == Side::backend) release_source_place();
    wake_coroutines();
    const Duration half_closed = listener_->timeouts.half_closed;
    extras().flush_ends = now + (half_closed == never ? longest_flush : half_closed);
    flush_wait_ms_ = first_flush_wait_ms;
    continue_flush(now);
}

void Session::continue_flush(TimePoint now) noexcept {
    net::Socket& to = socket(flushing_to_);
    const Side failed = opposite(flushing_to_);
    if (!flow(failed).empty()) {
        count_bytes(failed, deliver_rest(failed));
    }
    const bool delivered = flow(failed).empty() && to.unacknowledged() == 0;
    const TimePoint ends = extras().flush_ends;
    if (to.failed() || delivered || now >= ends) {
        if (reason_ == CloseReason::completed) to.reset();  // an end without a word is no end
        return close(reason_, closed_by_, error_);
    }
    worker_.loop().wheel().file(*this, std::min(ends, now + milliseconds(flush_wait_ms_)));
    flush_wait_ms_ =
        static_cast<std::uint16_t>(std::min<unsigned>(flush_wait_ms_ * 2U, longest_flush_wait_ms));
}

void Session::on_hangup(net::Watch& watch) {
    const Side side = &watch == &client_socket_ ? Side::client : Side::backend;
    net::Socket& hung_up = socket(side);
    const bool both_ways = (watch.seen() & (EPOLLERR | EPOLLHUP)) != 0;
    if (state_ == SessionState::connecting && side == Side::client) {
        // A FIN behind data is a half-close and stays; without any it has nothing to wait for.
        std::byte byte;
        const bool has_data = (secured(side) != nullptr && secured(side)->has_pending()) ||
                              hung_up.peek({&byte, 1}).ok();
        if ((both_ways && hung_up.check_error()) || !has_data)
            close(CloseReason::client_gone, ClosedBy::client, hung_up.error().value());
    } else if (state_ == SessionState::relaying) {
        // While a pump still reads here, it finds the error behind the data.
        if (both_ways && flow(side).delivered_end && hung_up.check_error()) on_side_failed(side);
    } else if (state_ == SessionState::flushing && side == flushing_to_ && both_ways) {
        if (hung_up.check_error()) continue_flush(worker_.loop().now());
    }
}

void Session::on_timer(TimePoint now) {
    switch (state_) {
        case SessionState::arriving:
            client_socket_.readable.wake(worker_.loop().ready());
            client_socket_.writable.wake(worker_.loop().ready());
            return;
        case SessionState::connecting:
            backend_socket_.readable.wake(worker_.loop().ready());
            return wake_up().wake(worker_.loop().ready());
        case SessionState::relaying: return check_relay_deadlines(now);
        case SessionState::flushing: return continue_flush(now);
        case SessionState::closed: return;
    }
}

void Session::check_relay_deadlines(TimePoint now) noexcept {
    for (;;) {
        const NextDeadline next = next_deadline(times_, listener_->timeouts);
        if (next.at > now) return worker_.loop().wheel().file(*this, next.at);
        switch (next.kind) {
            case DeadlineKind::nothing: return;
            case DeadlineKind::idle: return abort(CloseReason::idle_timeout);
            case DeadlineKind::half_closed: return abort(CloseReason::half_closed_timeout);
            case DeadlineKind::lifetime: return abort(CloseReason::lifetime);
            case DeadlineKind::milestone: on_milestone(now); break;
            case DeadlineKind::end_pause: end_pauses(now); break;
            case DeadlineKind::check_peers:
                check_peers(now);
                if (state_ != SessionState::relaying) return;
                break;
        }
    }
}

void Session::file_relay_deadline() noexcept {
    worker_.loop().wheel().file(*this, next_deadline(times_, listener_->timeouts).at);
}

void Session::on_milestone(TimePoint now) noexcept {
    times_.milestone_due = no_deadline;
    if (now - ready_at_ >= success_after) return judge_success();
    set_keepalive();
    if (!judged_) times_.milestone_due = ready_at_ + success_after;
}

// What the breaker of the backend makes of this connection; once.
void Session::judge_success() noexcept {
    if (std::exchange(judged_, true)) return;
    if (backend_->outcomes().succeeded(pass_)) worker_.raise_alarm(upstream(), *backend_);
}

void Session::judge_failure(balancer::Failure how) noexcept {
    if (std::exchange(judged_, true)) return;
    worker_.report_backend_failure(upstream(), *backend_, pass_, how);
}

void Session::judge_attempt(AttemptError error) noexcept {
    const auto failure = failure_of(error);
    // Reset so early that the connection never seemed to be there.
    const bool early = failure == balancer::Failure::early_reset;
    if (!failure || (early && !upstream().settings().circuit_breaker.early_reset_counts))
        return judge_nothing();
    judge_failure(*failure);
}

// Before its first byte; afterwards it was judged already.
void Session::judge_lost_backend(CloseReason reason) noexcept {
    judge_attempt(reason == CloseReason::backend_lost ? AttemptError::timeout
                                                      : AttemptError::reset);
}

// It ended, or never was, for reasons that are not the backend's.
void Session::judge_nothing() noexcept {
    if (std::exchange(judged_, true)) return;
    backend_->circuit().give_back(pass_);
    if (pass_.trial) worker_.call_waiting(upstream());
}

void Session::set_keepalive() noexcept {
    client_socket_.set_keepalive(listener_->keepalive);
    backend_socket_.set_keepalive(upstream_->keepalive);
}

void Session::check_peers(TimePoint now) noexcept {
    const Duration timeout = listener_->timeouts.peer;
    times_.peer_check_due = no_deadline;
    for (const Side side : {Side::client, Side::backend}) {
        if (!socket(side).is_tcp()) continue;
        const auto info = net::delivery_info(socket(side).fd());
        if (!info) continue;
        if (!extras_ && info->unacked_segments == 0 && info->unsent_bytes == 0) continue;
        auto& judge = side == Side::client ? extras().client_judge : extras().backend_judge;
        const auto verdict = judge.sample(*info, now, timeout);
        if (verdict == DeadPeerJudge::Verdict::dead)
            return fail_slowly(
                side, side == Side::client ? CloseReason::client_lost : CloseReason::backend_lost,
                ETIMEDOUT);
        if (verdict == DeadPeerJudge::Verdict::outstanding) times_.peer_check_due = now + timeout;
    }
}

bool Session::is_quiet(TimePoint now) const noexcept {
    return state_ == SessionState::relaying && now - times_.last_activity >= quiet_for_drain &&
           times_.paused_until == no_deadline && to_backend_.empty() && to_client_.empty() &&
           client_socket_.unacknowledged() == 0 && backend_socket_.unacknowledged() == 0;
}

void Session::abort(CloseReason reason, int error) noexcept {
    if (state_ == SessionState::flushing) return close(reason_, closed_by_, error_);
    close(reason, ClosedBy::proxy, error);
}

void Session::close(CloseReason reason, ClosedBy by, int error) noexcept {
    if (state_ == SessionState::closed) return;
    if (reason == CloseReason::internal && error != 0) worker_.report_internal(error);
    reason_ = reason;
    closed_by_ = by;
    error_ = static_cast<std::uint16_t>(error);
    close_sockets();
    release_source_place();
    state_ = SessionState::closed;
    worker_.loop().wheel().cancel(*this);
    wake_coroutines();
    if (coroutines_ == 0) finish();
}

// The table "what each side sees" of the access log's contract.
void Session::close_sockets() noexcept {
    switch (reason_) {
        case CloseReason::completed:
            client_socket_.close();
            backend_socket_.close();
            return;
        case CloseReason::no_route:
        case CloseReason::denied:
        case CloseReason::limit_source:
        case CloseReason::rate_source:
        case CloseReason::proxy_header_invalid:
        case CloseReason::proxy_header_timeout:
        case CloseReason::client_hello_invalid:
        case CloseReason::client_hello_timeout:
            if (listener_->settings().refuse_with == config::RefuseWith::close)
                finish_sending(Side::client);
            break;
        case CloseReason::tls_failed:
        case CloseReason::tls_timeout:
        case CloseReason::tls_client_cert:
        case CloseReason::tls_unknown_name:
            client_socket_.finish();  // a reset would overtake the alert
            break;
        case CloseReason::no_backend:
        case CloseReason::connect_failed:
        case CloseReason::queue_full:
        case CloseReason::queue_timeout:
            if (upstream_->settings().no_backend == config::NoBackend::close)
                finish_sending(Side::client);
            break;
        case CloseReason::drained:
        case CloseReason::backend_removed:
        case CloseReason::rebalanced:
            if (is_quiet(worker_.loop().now())) {
                finish_sending(Side::client);
                finish_sending(Side::backend);
            }
            break;
        default: break;
    }
    client_socket_.reset();
    backend_socket_.reset();
}

void Session::wake_coroutines() noexcept {
    auto& ready = worker_.loop().ready();
    for (net::Socket* socket : {&client_socket_, &backend_socket_}) {
        socket->readable.wake(ready);
        socket->writable.wake(ready);
    }
    if (!paced_) return;
    for (const Side from : {Side::client, Side::backend}) pace(from).end_pause(ready);
}

void Session::leave() noexcept {
    if (--coroutines_ == 0 && state_ == SessionState::closed) finish();
}

void Session::on_coroutine_failure(std::exception_ptr error) noexcept {
    worker_.report_failure(std::move(error));
    abort(CloseReason::internal);
    leave();
}

void Session::finish() noexcept {
    release_memory(to_backend_, worker_.loop());
    release_memory(to_client_, worker_.loop());
    count_end();
    const LogRecord record = make_record(LogRecord::Event::close);
    worker_.log().write(record, worker_.loop().now());
    remember(record);
    give_slots_back();
    if (linked_) worker_.unlink(*this, listener_->account());
    worker_.loop().retire(this);
}

TimePoint Session::now() const noexcept { return worker_.loop().now(); }

metrics::BackendCells& Session::backend_cells() const noexcept {
    return backend_->cells(worker_.index());
}

}  // namespace penstock::proxy
