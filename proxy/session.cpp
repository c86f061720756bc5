#include "proxy/session.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/connector.hpp"
#include "proxy/front/arrival.hpp"
#include "proxy/mover.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

// Backend connections get their keepalive options when they have lived this long: short ones never
// pay for the system calls, and the first probe is due much later anyway.
constexpr Duration keepalive_after = std::chrono::seconds(2);
// A connection that has lived so long is a success of its backend, though it may never say a word.
constexpr Duration success_after = std::chrono::seconds(10);

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
        begin([this] { receive_client(*this); });
    } else if (choose_upstream()) {
        begin_connecting();
    }
}

// Where there is no memory for its frame it has never been there.
template <typename F>
void Session::begin(F coroutine) {
    ++coroutines_;
    try {
        coroutine();
    } catch (...) {
        --coroutines_;
        throw;
    }
}

void Session::begin_connecting() {
    state_ = SessionState::connecting;
    look_at_client();
    if (state_ == SessionState::closed) return;
    begin([this] { connect_session(*this); });
}

void Session::look_at_client() {
    if ((client_socket_.seen() & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        on_hangup(client_socket_);
}

void Session::wake_at(TimePoint deadline) noexcept { worker_.loop().wheel().file(*this, deadline); }

void Session::add_queue_time(Duration waited) { extras().queued += waited; }

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
    begin([this] { pump(*this, Side::backend); });
    begin([this] { pump(*this, Side::client); });
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

void Session::on_hangup(net::Watch& watch) {
    const Side side = &watch == &client_socket_ ? Side::client : Side::backend;
    net::Socket& hung_up = socket(side);
    const bool both_ways = (watch.seen() & (EPOLLERR | EPOLLHUP)) != 0;
    if (state_ == SessionState::connecting && side == Side::client) {
        // A FIN behind data is a half-close and stays; without any it has nothing to wait for.
        std::byte byte;
        auto* const stream = secured(side);
        // Of TLS the end of the stream is a record like others: nobody waits in a line with it.
        const bool has_data =
            stream != nullptr && waiting_ != Activity::connecting
                ? stream->peek({&byte, 1}).ok()
                : (stream != nullptr && stream->has_pending()) || hung_up.peek({&byte, 1}).ok();
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

TimePoint Session::now() const noexcept { return worker_.loop().now(); }

metrics::BackendCells& Session::backend_cells() const noexcept {
    return backend_->cells(worker_.index());
}

}  // namespace penstock::proxy
