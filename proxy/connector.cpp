#include "proxy/connector.hpp"

#include <algorithm>
#include <cerrno>

#include "balancer/retry_policy.hpp"
#include "net/connect.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

std::uint32_t microseconds_between(TimePoint from, TimePoint to) noexcept {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, unknown_time - 1));
}

// Suspends until `deadline`, an event of the backend socket, or an abort, whatever comes first.
auto wait_until(Session& session, TimePoint deadline) {
    session.wake_at(deadline);
    return session.wake_up().wait(net::WaitRole::writer);
}

// One attempt, on the backend that the session holds; the result is an errno, 0 = connected.
net::Task<int> connect_once(Session& session, const Endpoint& address, TimePoint deadline) {
    auto& loop = session.worker().loop();
    net::Socket& socket = session.backend_socket();
    Duration pause = session.upstream().settings().retry_backoff.base;
    for (;;) {
        const auto state = net::start_connect(socket, address, loop.poller());
        if (state == net::ConnectState::connected) co_return 0;
        if (state == net::ConnectState::in_progress) break;
        const int error = state.error().value();
        if (!address.is_unix() || error != EAGAIN) co_return error;
        // A unix listener with a full backlog: no event will tell when there is room.
        if (loop.now() >= deadline) co_return ETIMEDOUT;
        socket.writable.clear();
        co_await wait_until(session, std::min(deadline, loop.now() + pause));
        if (!session.is_connecting()) co_return ECANCELED;
        pause = std::min(pause * 2, session.upstream().settings().retry_backoff.max);
    }
    co_await wait_until(session, deadline);
    if (!session.is_connecting()) co_return ECANCELED;
    if (socket.writable.ready()) co_return net::finish_connect(socket).value();
    socket.close();
    co_return ETIMEDOUT;
}

// What a failed attempt leaves behind for the next decision.
void mark_tried(balancer::Bitmap& tried, std::size_t backends, std::uint32_t index) {
    if (tried.size() == 0) tried = balancer::Bitmap(backends);
    tried.set(index);
}

}  // namespace

net::Root connect_session(Session& session) {
    auto& loop = session.worker().loop();
    auto& selector = session.upstream().selector;
    const auto& settings = session.upstream().settings();
    balancer::RetryPolicy retry(settings.attempts, settings.retry_backoff.base,
                                settings.retry_backoff.max);
    balancer::Bitmap tried;
    while (session.is_connecting()) {
        auto picked = selector.pick({.tried = tried, .key = {}, .now = loop.now()});
        if (!picked) {
            session.abort(CloseReason::no_backend);
            break;
        }
        balancer::Backend& backend = selector.set().backend(picked->index);
        session.take_backend(backend);
        const TimePoint started = loop.now();
        auto attempt = connect_once(session, backend.address(),
                                    deadline_after(started, settings.connect_timeout));
        const int error = co_await attempt;
        if (!session.is_connecting()) break;
        const std::uint32_t took_us = microseconds_between(started, loop.now());
        if (error == 0) {
            session.relay(took_us);
            break;
        }
        session.drop_backend(classify_connect_error(error), took_us);
        mark_tried(tried, selector.set().size(), picked->index);
        const bool other_left = selector.can_pick(tried);
        const auto decision = retry.on_failure(other_left, session.worker().random());
        if (decision.action == balancer::RetryAction::give_up) {
            session.abort(CloseReason::connect_failed, error);
            break;
        }
        if (decision.action == balancer::RetryAction::wait) {
            tried = {};
            session.backend_socket().writable.clear();
            co_await wait_until(session, loop.now() + decision.wait);
        }
    }
    session.leave();
}

}  // namespace penstock::proxy
