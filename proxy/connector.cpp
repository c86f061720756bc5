#include "proxy/connector.hpp"

#include <algorithm>
#include <cerrno>

#include "net/connect.hpp"
#include "proxy/front/introduction.hpp"
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
        const auto state = session.upstream().start_connect(socket, address, loop.poller(),
                                                            session.source_place());
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

// The whole attempt: connected, and the backend knows all that it is told before the client's
// bytes.
net::Task<AttemptResult> reach(Session& session, const Endpoint& address, TimePoint deadline) {
    auto connecting = connect_once(session, address, deadline);
    const AttemptResult result = attempt_result(co_await connecting);
    if (!result.ok() || !session.is_connecting() || !needs_introduction(session)) co_return result;
    auto introducing = introduce(session, deadline);
    co_return co_await introducing;
}

// Until the session relays or has ended. On its own, so that its place in a queue is given up
// first.
net::Task<void> set_up(Session& session) {
    auto& loop = session.worker().loop();
    Setup setup(session);
    while (session.is_connecting()) {
        Setup::Next next = setup.admit();
        if (next == Setup::Next::connect || next == Setup::Next::relay) {
            const bool warm = next == Setup::Next::relay;
            const TimePoint started = loop.now();
            const TimePoint deadline =
                deadline_after(started, session.upstream().settings().connect_timeout);
            AttemptResult result;
            if (!warm) {
                auto attempt = reach(session, setup.backend().address(), deadline);
                result = co_await attempt;
            } else if (needs_introduction(session)) {
                auto attempt = introduce(session, deadline);
                result = co_await attempt;
            }
            if (!session.is_connecting()) co_return;
            const Duration took = warm ? Duration::zero() : loop.now() - started;
            if (result.ok()) {
                if (!warm) setup.on_connected(took);
                session.relay(took, warm);
                co_return;
            }
            next = setup.on_failed(result, took);
        }
        if (next == Setup::Next::wait) {
            session.look_at_client();
            if (!session.is_connecting()) co_return;
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
