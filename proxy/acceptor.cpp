#include "proxy/acceptor.hpp"

#include <algorithm>
#include <cerrno>

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
    const bool wait = listener_->settings().on_limit == config::OnLimit::wait && !stopping_;
    Accepted fresh;
    const auto acquire = [&] {
        fresh.process_permit = worker_.shared().connections.try_acquire();
        if (fresh.process_permit)
            fresh.listener_permit = listener_->shared->connections.try_acquire();
    };
    if (wait) {
        acquire();
        if (!fresh.listener_permit) {
            pause();
            return Outcome::paused;
        }
    }
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    fresh.fd.reset(::accept4(this->fd(), reinterpret_cast<sockaddr*>(&raw), &length,
                             SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fresh.fd) return on_accept_error(errno);
    pause_ = Duration::zero();
    listener_->cells.accepted.add();
    fresh.at = wall_now();
    fresh.peer = CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length);
    fresh.local = local_endpoint_of(fresh.fd.get());
    if (!wait) acquire();
    const auto reason =
        fresh.process_permit ? CloseReason::limit_listener : CloseReason::limit_process;
    if (fresh.listener_permit)
        worker_.admit(*listener_, std::move(fresh));
    else
        refuse(std::move(fresh), reason);
    return Outcome::accepted;
}

// Only the log asks for it, and only a listener on every address has to ask the kernel.
CompactEndpoint Acceptor::local_endpoint_of(int fd) const noexcept {
    return bound_.empty() && worker_.log().enabled() ? net::local_endpoint(fd) : bound_;
}

Acceptor::Outcome Acceptor::on_accept_error(int error) {
    const auto failure = net::classify_accept_error(error);
    if (failure == net::AcceptFailure::again) return Outcome::none;
    listener_->cells.accept_errors.add();
    if (failure == net::AcceptFailure::skip) return Outcome::accepted;  // that one is gone
    worker_.report_accept_error(*listener_, error);
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
                           .detail = {}};
    worker_.log().write(record, worker_.loop().now());
}

void Acceptor::pause() {
    if (!paused_) {
        paused_ = true;
        worker_.cells().accept_pauses.add();
        worker_.loop().poller().modify(*this, 0);
        pause_ = first_pause;
    } else {
        pause_ = std::min(pause_ * 2, longest_pause);
    }
    worker_.loop().wheel().file(*this, worker_.loop().now() + pause_);
    worker_.shared().waiting.mark(worker_.index());
    listener_->shared->waiting.mark(worker_.index());
    // Freed between the refusal and the mark: nobody would wake this worker.
    if (pause_ == first_pause && !worker_.shared().connections.full() &&
        !listener_->shared->connections.full())
        worker_.loop().wheel().file(*this, worker_.loop().now() + milliseconds(1));
}

void Acceptor::resume() {
    if (!paused_ || stopping_) return;
    const bool wait = listener_->settings().on_limit == config::OnLimit::wait;
    if (wait && (worker_.shared().connections.full() || listener_->shared->connections.full()))
        return pause();
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
    worker_.loop().wheel().cancel(*this);
    worker_.loop().poller().remove(*this);
    ::close(fd_);
    fd_ = -1;
    readable.wake(worker_.loop().ready());
}

void Acceptor::on_coroutine_failure(std::exception_ptr error) noexcept {
    worker_.report_failure(std::move(error));
}

}  // namespace penstock::proxy
