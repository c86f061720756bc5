#include "proxy/connector.hpp"

#include <algorithm>
#include <cerrno>

#include "net/connect.hpp"
#include "proxy/session.hpp"
#include "proxy/setup.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

namespace {

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
        const auto state = session.upstream().start_connect(socket, address, loop.poller());
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

// Until the session relays or has ended. On its own, so that its place in a queue is given up
// first.
net::Task<void> set_up(Session& session) {
    auto& loop = session.worker().loop();
    Setup setup(session);
    while (session.is_connecting()) {
        Setup::Next next = setup.admit();
        if (next == Setup::Next::connect) {
            const TimePoint started = loop.now();
            auto attempt = connect_once(
                session, setup.backend().address(),
                deadline_after(started, session.upstream().settings().connect_timeout));
            const int error = co_await attempt;
            if (!session.is_connecting()) co_return;
            const Duration took = loop.now() - started;
            if (error == 0) {
                setup.on_connected(took);
                session.relay(took, false);
                co_return;
            }
            next = setup.on_failed(error, took);
        } else if (next == Setup::Next::relay) {
            session.relay(Duration::zero(), true);
        }
        if (next == Setup::Next::wait) {
            session.backend_socket().writable.clear();
            co_await wait_until(session, setup.wait_until());
        }
    }
}

}  // namespace

net::Root connect_session(Session& session) {
    auto setting_up = set_up(session);
    co_await setting_up;
    session.leave();
}

}  // namespace penstock::proxy
