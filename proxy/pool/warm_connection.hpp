#pragma once

#include <cstdint>
#include <memory>

#include <boost/intrusive/list_hook.hpp>

#include "balancer/circuit.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/endpoint.hpp"
#include "base/timing_wheel.hpp"
#include "net/event_loop.hpp"
#include "net/socket.hpp"
#include "net/task.hpp"
#include "net/tls/stream.hpp"
#include "proxy/attempt.hpp"
#include "proxy/source_addresses.hpp"

namespace penstock::proxy {

class WarmPool;

/// The slots that a connection to a backend takes up, whether a session or a pool holds it.
struct ConnectionSlots {
    balancer::Permit upstream;
    balancer::Permit backend;
    SourceAddresses::Place source = SourceAddresses::nowhere;  // not given back by itself
};

/// TLS on a connection that a pool hands over; the stream is null where there is none.
struct SecuredConnection {
    std::unique_ptr<net::tls::Stream> stream;
    std::shared_ptr<const net::tls::ClientContext> context;
};

/// One connection of a pool: being opened, then idle until a session takes it, it dies, or it is
/// too old. Deletes itself at the end of the turn in which it was closed or taken. One worker.
class WarmConnection final : public net::Retired,
                             public net::HangupHandler,
                             public net::CoroutineOwner,
                             public boost::intrusive::list_base_hook<>,
                             private Timer {
public:
    WarmConnection(WarmPool& pool, net::EventLoop& loop, std::uint32_t backend,
                   balancer::CircuitPass pass, ConnectionSlots slots, balancer::Permit connecting);

    /// Begins to connect; tells the pool how it went, not before this returns.
    void open(const Endpoint& address, Duration timeout);
    /// Closes it and gives its slots back. The pool must have forgotten it.
    void close() noexcept;
    /// Moves the connection to a session's socket if it is still good, and ends. False if it was
    /// dead, or is now: its slots are given back then, else they are in `slots`. The pool must
    /// have forgotten it.
    [[nodiscard]] bool hand_over(net::Socket& to, ConnectionSlots& slots,
                                 SecuredConnection& secured) noexcept;
    /// It is idle from now on, until `deadline`.
    void keep_until(TimePoint deadline) noexcept;

    [[nodiscard]] std::uint32_t backend() const noexcept { return backend_; }
    /// Its pool's indices have changed.
    void set_backend(std::uint32_t backend) noexcept { backend_ = backend; }
    /// What the backend's circuit said when it was opened.
    [[nodiscard]] balancer::CircuitPass pass() const noexcept { return pass_; }
    [[nodiscard]] TimePoint opened_at() const noexcept { return opened_at_; }
    [[nodiscard]] bool is_idle() const noexcept { return state_ == State::idle; }

    void on_hangup(net::Watch& watch) override;
    void on_coroutine_failure(std::exception_ptr error) noexcept override;

private:
    enum class State : std::uint8_t { opening, idle, closed };
    struct InHandshake;

    void on_timer(TimePoint now) override;
    static net::Root connect(WarmConnection& self, const Endpoint& address, Duration timeout);
    static net::Task<AttemptResult> reach(WarmConnection& self, const Endpoint& address,
                                          TimePoint deadline);
    static net::Task<AttemptResult> secure(WarmConnection& self, TimePoint deadline);
    [[nodiscard]] bool is_dead() noexcept;
    [[nodiscard]] bool hung_up() const noexcept;
    void leave() noexcept;

    WarmPool& pool_;
    net::EventLoop& loop_;
    net::Socket socket_;
    SecuredConnection secured_;
    ConnectionSlots slots_;
    balancer::Permit connecting_;
    TimePoint opened_at_{};
    balancer::CircuitPass pass_;
    std::uint32_t backend_;
    State state_ = State::opening;
    bool coroutine_ = false;
};

}  // namespace penstock::proxy
