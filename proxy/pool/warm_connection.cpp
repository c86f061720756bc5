#include "proxy/pool/warm_connection.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include "net/connect.hpp"
#include "proxy/pool/warm_pool.hpp"
#include "proxy/upstream.hpp"

namespace penstock::proxy {

WarmConnection::WarmConnection(WarmPool& pool, net::EventLoop& loop, std::uint32_t backend,
                               balancer::CircuitPass pass, ConnectionSlots slots,
                               balancer::Permit connecting)
    : pool_(pool),
      loop_(loop),
      socket_(*this),
      slots_(std::move(slots)),
      connecting_(std::move(connecting)),
      pass_(pass),
      backend_(backend) {}

void WarmConnection::open(const Endpoint& address, Duration timeout) {
    coroutine_ = true;
    connect(*this, address, timeout);
}

net::Root WarmConnection::connect(WarmConnection& self, const Endpoint& address, Duration timeout) {
    const TimePoint started = self.loop_.now();
    // Never before open() has returned: the pool is not done with this connection yet.
    co_await self.loop_.ready().yield();
    int error = ECANCELED;
    if (self.state_ == State::opening) {
        const auto state =
            self.pool_.upstream().start_connect(self.socket_, address, self.loop_.poller());
        error = state ? 0 : state.error().value();
        if (state && *state == net::ConnectState::in_progress) {
            self.loop_.wheel().file(self, deadline_after(started, timeout));
            co_await self.socket_.writable.wait(net::WaitRole::writer);
            error = self.socket_.writable.ready() && self.state_ == State::opening
                        ? net::finish_connect(self.socket_).value()
                        : ETIMEDOUT;
        }
    }
    if (self.state_ == State::opening) {
        // The end may have come with the beginning: there will be no other event for it.
        if (error == 0 && self.hung_up()) error = ECONNRESET;
        self.loop_.wheel().cancel(self);
        self.connecting_.release();
        self.opened_at_ = self.loop_.now();
        self.pool_.on_opened(self, error, self.opened_at_ - started);
    }
    self.leave();
}

void WarmConnection::keep_until(TimePoint deadline) noexcept {
    state_ = State::idle;
    loop_.wheel().file(*this, deadline);
}

void WarmConnection::close() noexcept {
    if (std::exchange(state_, State::closed) == State::closed) return;
    loop_.wheel().cancel(*this);
    socket_.close();
    connecting_.release();
    slots_.upstream.release();
    slots_.backend.release();
    socket_.writable.wake(loop_.ready());
    if (!coroutine_) loop_.retire(this);
}

bool WarmConnection::hand_over(net::Socket& to, ConnectionSlots& slots) noexcept {
    if (is_dead() || to.take_over(socket_, loop_.poller())) {
        close();
        return false;
    }
    slots = std::move(slots_);
    close();
    return true;
}

// What the backend said first stays in the queue, for the session.
bool WarmConnection::is_dead() noexcept {
    std::array<std::byte, 1> first;
    const auto seen = socket_.peek(first);
    const bool alive = seen.status == net::IoStatus::ok || seen.status == net::IoStatus::want_read;
    return !alive || hung_up();
}

bool WarmConnection::hung_up() const noexcept {
    return (socket_.seen() & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
}

void WarmConnection::on_hangup(net::Watch&) {
    if (state_ == State::idle) pool_.on_ended(*this);
}

void WarmConnection::on_timer(TimePoint) {
    if (state_ == State::opening)
        socket_.writable.wake(loop_.ready());
    else if (state_ == State::idle)
        pool_.on_aged(*this);
}

void WarmConnection::leave() noexcept {
    coroutine_ = false;
    if (state_ == State::closed) loop_.retire(this);
}

void WarmConnection::on_coroutine_failure(std::exception_ptr error) noexcept {
    pool_.on_failure(*this, std::move(error));
    leave();
}

}  // namespace penstock::proxy
