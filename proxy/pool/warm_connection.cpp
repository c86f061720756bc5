#include "proxy/pool/warm_connection.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include "net/connect.hpp"
#include "proxy/front/handshake.hpp"
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

net::Task<AttemptResult> WarmConnection::reach(WarmConnection& self, const Endpoint& address,
                                               TimePoint deadline) {
    const auto state = self.pool_.upstream().start_connect(self.socket_, address,
                                                           self.loop_.poller(), self.slots_.source);
    if (!state) co_return attempt_result(state.error().value());
    if (*state == net::ConnectState::in_progress) {
        self.loop_.wheel().file(self, deadline);
        co_await self.socket_.writable.wait(net::WaitRole::writer);
        if (self.state_ != State::opening) co_return attempt_result(ECANCELED);
        if (!self.socket_.writable.ready()) co_return attempt_result(ETIMEDOUT);
        if (const auto error = net::finish_connect(self.socket_))
            co_return attempt_result(error.value());
    }
    if (!self.pool_.upstream().tls) co_return AttemptResult{};
    auto securing = secure(self, deadline);
    co_return co_await securing;
}

struct WarmConnection::InHandshake {
    static constexpr auto role = net::WaitRole::writer;
    static constexpr bool looks_once_more = true;
    WarmConnection& self;

    [[nodiscard]] bool lives() const noexcept { return self.state_ == State::opening; }
    [[nodiscard]] TimePoint now() const noexcept { return self.loop_.now(); }
    void wake_at(TimePoint deadline) const noexcept { self.loop_.wheel().file(self, deadline); }
    [[nodiscard]] auto turn() const noexcept { return self.loop_.background().yield(); }
};

net::Task<AttemptResult> WarmConnection::secure(WarmConnection& self, TimePoint deadline) {
    UpstreamContext& upstream = self.pool_.upstream();
    self.secured_.context = upstream.tls;
    const balancer::Backend& backend = upstream.set()->backend(self.backend_);
    self.secured_.stream =
        upstream.secure(*upstream.tls, upstream.verify_name(backend), backend, self.socket_);
    auto waiting =
        wait_for_handshake(*self.secured_.stream, self.socket_, deadline, InHandshake{self});
    switch (co_await waiting) {
        case Handshaken::done: co_return AttemptResult{};
        case Handshaken::failed: co_return AttemptResult{AttemptError::tls, EPROTO};
        case Handshaken::late: co_return attempt_result(ETIMEDOUT);
        case Handshaken::late_here: co_return AttemptResult{AttemptError::timeout, ETIMEDOUT, true};
        case Handshaken::left:
        case Handshaken::gone: break;
    }
    co_return attempt_result(ECANCELED);
}

net::Root WarmConnection::connect(WarmConnection& self, const Endpoint& address, Duration timeout) {
    const TimePoint started = self.loop_.now();
    // Never before open() has returned: the pool is not done with this connection yet.
    co_await self.loop_.ready().yield();
    if (self.state_ == State::opening) {
        auto attempt = reach(self, address, deadline_after(started, timeout));
        AttemptResult result = co_await attempt;
        if (self.state_ == State::opening) {
            // The end may have come with the beginning: there will be no other event for it.
            if (result.ok() && self.hung_up()) result = attempt_result(ECONNRESET);
            self.loop_.wheel().cancel(self);
            self.connecting_.release();
            self.opened_at_ = self.loop_.now();
            self.pool_.on_opened(self, result, self.opened_at_ - started);
        }
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
    pool_.upstream().sources.release(slots_.source);
    connecting_.release();
    slots_.upstream.release();
    slots_.backend.release();
    socket_.writable.wake(loop_.ready());
    socket_.readable.wake(loop_.ready());
    if (!coroutine_) loop_.retire(this);
}

bool WarmConnection::hand_over(net::Socket& to, ConnectionSlots& slots,
                               SecuredConnection& secured) noexcept {
    if (is_dead() || to.take_over(socket_, loop_.poller())) {
        close();
        return false;
    }
    slots = std::exchange(slots_, {});
    secured = std::move(secured_);
    if (secured.stream) secured.stream->rebind(to);
    close();
    return true;
}

// What the backend said first stays in the queue, for the session.
bool WarmConnection::is_dead() noexcept {
    std::array<std::byte, 1> first;
    const auto seen = secured_.stream ? secured_.stream->peek(first) : socket_.peek(first);
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
    if (state_ == State::opening) {
        socket_.writable.wake(loop_.ready());
        socket_.readable.wake(loop_.ready());
    } else if (state_ == State::idle) {
        pool_.on_aged(*this);
    }
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
