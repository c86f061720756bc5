#include "proxy/acceptor.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

#include "net/listen_socket.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t largest_batch = 64;
// Only the fallback: normally a freed slot or descriptor ends a pause.
constexpr Duration first_pause = milliseconds(20);
constexpr Duration longest_pause = milliseconds(160);
constexpr Duration retry_broken = std::chrono::seconds(1);

metrics::AcceptError kind_of(int error, net::AcceptFailure failure) noexcept {
    using enum metrics::AcceptError;
    if (failure == net::AcceptFailure::fatal) return broken;
    if (failure == net::AcceptFailure::exhausted)
        return error == EMFILE || error == ENFILE ? no_fd : no_memory;
    return error == ECONNABORTED || error == EPROTO ? aborted : other;
}

}  // namespace

Acceptor::Acceptor(Worker& worker, ListenerPtr listener, net::UniqueFd socket)
    : worker_(worker), listener_(std::move(listener)) {
    fd_ = socket.release();
    bound_ = net::local_endpoint(fd_);
    if (bound_.is_any_address()) bound_ = {};
}

Acceptor::~Acceptor() {
    if (is_open()) ::close(fd_);
}

std::error_code Acceptor::start() {
    if (const auto error = worker_.loop().poller().add(*this, net::Poller::accept_events))
        return error;
    running_ = true;
    run(*this);
    return {};
}

net::Root Acceptor::run(Acceptor& self) {
    while (!self.stopping_) {
        co_await self.readable.wait(net::WaitRole::reader);
        self.readable.clear();
        if (self.stopping_ || self.paused_) continue;
        try {
            self.accept_some();
        } catch (const std::exception&) {  // no memory: that connection is lost, the listener stays
            self.worker_.report_failure(std::current_exception());
        }
    }
    self.running_ = false;
}

void Acceptor::serve(ListenerPtr listener) {
    listener_ = std::move(listener);
    // Its limits may be others.
    if (paused_) resume();
}

// The batch doubles while it is used up and halves when it was too large.
void Acceptor::accept_some() {
    for (std::uint32_t i = 0; i < batch_; ++i) {
        const Outcome outcome = accept_one();
        if (outcome == Outcome::accepted) continue;
        batch_ = std::max(batch_ / 2, 1U);
        return;
    }
    batch_ = std::min(batch_ * 2, largest_batch);
}

Acceptor::Outcome Acceptor::accept_one() {
    Room room;
    if (waits_at_limits()) {
        const auto full = listener_->shared->gate.reserve(room, worker_.shared().connections,
                                                          worker_.loop().now());
        if (full != CloseReason::none) {
            note(GateLog::Event::waits, full, {});
            if (full == CloseReason::rate_listener)
                pause_until(listener_->shared->gate.next_token());
            else
                pause();
            return Outcome::paused;
        }
    }
    Accepted fresh;
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    fresh.fd.reset(::accept4(this->fd(), reinterpret_cast<sockaddr*>(&raw), &length,
                             SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fresh.fd) {
        give_back(std::move(room));
        return on_accept_error(errno);
    }
    pause_ = Duration::zero();
    listener_->cells.accepted.add();
    fresh.at = wall_now();
    fresh.peer = CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length);
    fresh.local = local_endpoint_of(fresh.fd.get());
    admit(std::move(fresh), std::move(room));
    return Outcome::accepted;
}

void Acceptor::admit(Accepted fresh, Room room) {
    if (worker_.shared().memory.overload()) {
        give_back(std::move(room));
        note(GateLog::Event::refuses, CloseReason::overload, fresh.peer);
        return refuse(std::move(fresh), CloseReason::overload);
    }
    const bool reserved = static_cast<bool>(room.process);
    auto admission = judge(fresh, std::move(room));
    admission.would_refuse.for_each([&](CloseReason reason) {
        listener_->cells.would_refuse(reason).add();
        note(GateLog::Event::would_refuse, reason, fresh.peer);
    });
    fresh.would_refuse = admission.would_refuse;
    if (admission.refused != CloseReason::none) {
        if (reserved) worker_.wake_acceptors(listener_->account());
        note(GateLog::Event::refuses, admission.refused, fresh.peer);
        return refuse(std::move(fresh), admission.refused);
    }
    fresh.process_permit = std::move(admission.process);
    fresh.listener_permit = std::move(admission.listener);
    fresh.source_permit = std::move(admission.source);
    worker_.admit(*listener_, std::move(fresh));
}

// Whoever may name another client is no client.
Admission Acceptor::judge(Accepted& fresh, Room room) {
    Gate& gate = listener_->shared->gate;
    const auto& settings = listener_->settings();
    const TimePoint now = worker_.loop().now();
    if (settings.proxy_protocol != config::ProxyProtocol::off) {
        using enum config::ProxyProtocolUntrusted;
        if (listener_->shared->header_senders.contains(fresh.peer)) {
            fresh.header = HeaderRule::believe;
            return gate.admit_connection(now, std::move(room), worker_.shared().connections);
        }
        if (settings.proxy_protocol_untrusted == refuse) {
            Admission refused;
            refused.refused = CloseReason::proxy_header_untrusted;
            return refused;
        }
        if (settings.proxy_protocol_untrusted == ignore) fresh.header = HeaderRule::ignore;
    }
    return gate.admit({fresh.peer, listener_->access.get(), now}, std::move(room),
                      worker_.shared().connections);
}

// Only the log asks for it, and only a listener on every address has to ask the kernel.
CompactEndpoint Acceptor::local_endpoint_of(int fd) const noexcept {
    return bound_.empty() && worker_.log().enabled() ? net::local_endpoint(fd) : bound_;
}

Acceptor::Outcome Acceptor::on_accept_error(int error) {
    const auto failure = net::classify_accept_error(error);
    if (failure == net::AcceptFailure::again) return Outcome::none;
    listener_->cells.accept_error(kind_of(error, failure)).add();
    if (failure == net::AcceptFailure::skip) return Outcome::accepted;  // that one is gone
    worker_.report_accept_error(*listener_, error, failure);
    if (failure == net::AcceptFailure::fatal)
        pause_until(worker_.loop().now() + retry_broken);
    else
        pause();
    return Outcome::paused;
}

void Acceptor::refuse(Accepted accepted, CloseReason reason) {
    listener_->cells.closed_by(reason).add();
    net::Socket socket(worker_.ignore_hangups());
    socket.adopt(std::move(accepted.fd),
                 accepted.peer.is_unix() ? net::SocketKind::unix_stream : net::SocketKind::tcp);
    if (listener_->settings().refuse_with == config::RefuseWith::close)
        socket.finish();
    else
        socket.reset();
    const LogRecord record{.event = LogRecord::Event::close,
                           .accepted = accepted.at,
                           .id = {worker_.process_id(), worker_.next_sequence()},
                           .listener = listener_->settings().name,
                           .worker = worker_.index(),
                           .client = accepted.peer,
                           .local = accepted.local,
                           .upstream = {},
                           .backend_local = {},
                           .failed_attempts = {},
                           .closed_by = ClosedBy::proxy,
                           .reason = reason,
                           .detail = {},
                           .would_refuse = accepted.would_refuse};
    worker_.log().write(record, worker_.loop().now());
    worker_.closed_sessions().add({record, listener_, nullptr, nullptr, {}});
}

void Acceptor::note(GateLog::Event event, CloseReason reason, const CompactEndpoint& peer) {
    worker_.note_limit(*listener_, event, reason, peer);
}

// While stopping nobody can wait any more.
bool Acceptor::waits_at_limits() const noexcept {
    return listener_->settings().on_limit == config::OnLimit::wait && !stopping_;
}

// Somebody may have found no slot because of this one.
void Acceptor::give_back(Room room) {
    if (!room.process) return;
    room = {};
    worker_.wake_acceptors(listener_->account());
}

void Acceptor::stop_watching() {
    if (std::exchange(paused_, true)) return;
    worker_.cells().accept_pauses.add();
    worker_.loop().poller().modify(*this, 0);
    pause_ = Duration::zero();
}

void Acceptor::pause_until(TimePoint until) {
    stop_watching();
    worker_.loop().wheel().file(*this, until);
}

void Acceptor::pause() {
    stop_watching();
    const bool first = pause_ == Duration::zero();
    pause_ = first ? first_pause : std::min(pause_ * 2, longest_pause);
    worker_.loop().wheel().file(*this, worker_.loop().now() + pause_);
    worker_.shared().waiting.mark(worker_.index());
    listener_->account().waiting.mark(worker_.index());
    // Freed between the refusal and the mark: nobody would wake this worker.
    if (first && !worker_.shared().connections.full() &&
        !listener_->shared->gate.connections().full())
        worker_.loop().wheel().file(*this, worker_.loop().now() + milliseconds(1));
}

void Acceptor::resume() {
    if (!paused_ || stopping_) return;
    if (waits_at_limits()) {
        Gate& gate = listener_->shared->gate;
        if (worker_.shared().connections.full() || gate.connections().full()) return pause();
        if (!gate.has_token(worker_.loop().now())) return pause_until(gate.next_token());
    }
    paused_ = false;
    worker_.loop().wheel().cancel(*this);
    worker_.loop().poller().modify(*this, net::Poller::accept_events);
}

void Acceptor::on_timer(TimePoint) { resume(); }

void Acceptor::stop() {
    if (stopping_) return;
    stopping_ = true;
    worker_.loop().wheel().cancel(*this);
    // Bounded: a flood must not keep a stopping worker here.
    for (int i = 0; i < 65536 && accept_one() == Outcome::accepted; ++i) {
    }
    close();
}

void Acceptor::let_go() {
    if (std::exchange(stopping_, true)) return;
    close();
}

void Acceptor::close() noexcept {
    worker_.loop().wheel().cancel(*this);
    worker_.loop().poller().remove(*this);  // another process may hold the socket open
    ::close(fd_);
    fd_ = -1;
    readable.wake(worker_.loop().ready());
}

void Acceptor::on_coroutine_failure(std::exception_ptr error) noexcept {
    worker_.report_failure(std::move(error));
}

}  // namespace penstock::proxy
