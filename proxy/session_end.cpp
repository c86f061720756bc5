// How a session ends: what a side that failed left over, what each side sees, the way out.
#include <algorithm>
#include <utility>

#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

using std::chrono::milliseconds;

constexpr Duration quiet_for_drain = std::chrono::seconds(1);
constexpr Duration longest_flush = std::chrono::minutes(1);  // where half_closed is "never"
constexpr std::uint16_t first_flush_wait_ms = 8;
constexpr std::uint16_t longest_flush_wait_ms = 256;

}  // namespace

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
    if (to.failed() || delivered || now >= ends) return end_flush();
    worker_.loop().wheel().file(*this, std::min(ends, now + milliseconds(flush_wait_ms_)));
    flush_wait_ms_ =
        static_cast<std::uint16_t>(std::min<unsigned>(flush_wait_ms_ * 2U, longest_flush_wait_ms));
}

void Session::end_flush() noexcept {
    // An end without a word is no end.
    if (reason_ == CloseReason::completed) socket(flushing_to_).reset();
    close(reason_, closed_by_, error_);
}

bool Session::is_quiet(TimePoint now) const noexcept {
    return state_ == SessionState::relaying && now - times_.last_activity >= quiet_for_drain &&
           times_.paused_until == no_deadline && to_backend_.empty() && to_client_.empty() &&
           client_socket_.unacknowledged() == 0 && backend_socket_.unacknowledged() == 0;
}

void Session::abort(CloseReason reason, int error) noexcept {
    if (state_ == SessionState::flushing) return end_flush();
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

}  // namespace penstock::proxy
