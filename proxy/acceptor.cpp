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
        if (!self.stopping_ && !self.paused_) self.accept_some();
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
    Permit process;
    Permit slot;
    const auto acquire = [&] {
        process = worker_.shared().connections.try_acquire();
        if (process) slot = listener_->shared->connections.try_acquire();
    };
    if (wait) {
        acquire();
        if (!slot) {
            pause();
            return Outcome::paused;
        }
    }
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    net::UniqueFd fd(::accept4(this->fd(), reinterpret_cast<sockaddr*>(&raw), &length,
                               SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return on_accept_error(errno);
    pause_ = Duration::zero();
    listener_->cells.accepted.add();
    const auto peer =
        CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length);
    if (!wait) acquire();
    if (slot)
        admit(std::move(fd), peer, std::move(process), std::move(slot));
    else
        refuse(std::move(fd), peer,
               process ? CloseReason::limit_listener : CloseReason::limit_process);
    return Outcome::accepted;
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

void Acceptor::admit(net::UniqueFd fd, const CompactEndpoint& peer, Permit process, Permit slot) {
    worker_.admit(*listener_,
                  {std::move(fd), peer, wall_now(), std::move(process), std::move(slot)});
}

void Acceptor::refuse(net::UniqueFd fd, const CompactEndpoint& peer, CloseReason reason) {
    listener_->cells.closed_by(reason).add();
    LogRecord record{.event = LogRecord::Event::close,
                     .accepted = wall_now(),
                     .id = {worker_.process_id(), worker_.next_sequence()},
                     .listener = listener_->settings().name,
                     .worker = worker_.index(),
                     .client = peer,
                     .local = {},
                     .upstream = {},
                     .backend_local = {},
                     .failed_attempts = {},
                     .closed_by = ClosedBy::proxy,
                     .reason = reason,
                     .detail = {}};
    net::Socket socket(worker_.ignore_hangups());
    socket.adopt(std::move(fd), peer.is_unix() ? net::SocketKind::unix_stream
                                               : net::SocketKind::tcp);
    if (worker_.log().enabled()) record.local = socket.local_endpoint();
    if (listener_->settings().refuse_with == config::RefuseWith::close)
        socket.finish();
    else
        socket.reset();
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
