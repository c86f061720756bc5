#pragma once

#include <concepts>
#include <cstdint>

#include "base/clock.hpp"
#include "net/latch.hpp"
#include "net/socket.hpp"
#include "net/task.hpp"
#include "net/tls/stream.hpp"

namespace penstock::proxy {

/// How the wait for a handshake ended.
enum class Handshaken : std::uint8_t {
    done,
    failed,  // the stream says why
    late,
    late_here,  // because others had their turns first: the peer had not all of the time
    left,  // the peer, before anything was done for it
    gone,  // whoever waited has ended meanwhile
};

/// Whoever waits for a handshake: a small value, copied into the coroutine. `turn()` is awaited
/// before each step, which may cost a signature: others go first. `looks_once_more`: what has come
/// counts even if the deadline has passed meanwhile, since a backend is not to blame for what kept
/// this process; otherwise no work is done for one that is late. `has_left()`, if there is one,
/// tells of a peer for whom nothing need be begun.
template <typename W>
concept HandshakeOwner = requires(W owner, TimePoint deadline) {
    { W::role } -> std::convertible_to<net::WaitRole>;
    { W::looks_once_more } -> std::convertible_to<bool>;
    { owner.lives() } -> std::same_as<bool>;
    { owner.now() } -> std::same_as<TimePoint>;
    owner.wake_at(deadline);  // both latches of the socket
    owner.turn();
};

/// Goes on with the handshake of `stream`, whose socket is `socket`, until it has ended in one way
/// or another, at `deadline` at the latest.
template <HandshakeOwner Owner>
net::Task<Handshaken> wait_for_handshake(net::tls::Stream& stream, net::Socket& socket,
                                         TimePoint deadline, Owner owner) {
    Duration others_turns{};
    for (bool begun = false;; begun = true) {
        const TimePoint asked = owner.now();
        co_await owner.turn();
        if (!owner.lives()) co_return Handshaken::gone;
        others_turns += owner.now() - asked;
        if constexpr (!Owner::looks_once_more)
            if (owner.now() >= deadline) co_return Handshaken::late;
        if constexpr (requires { owner.has_left(); })
            if (!begun && owner.has_left()) co_return Handshaken::left;
        const net::IoStatus status = stream.handshake();
        if (status == net::IoStatus::ok) co_return Handshaken::done;
        if (status == net::IoStatus::error || status == net::IoStatus::eof)
            co_return Handshaken::failed;
        if (Owner::looks_once_more && owner.now() >= deadline)
            co_return owner.now() - others_turns < deadline ? Handshaken::late_here
                                                            : Handshaken::late;
        owner.wake_at(deadline);
        net::Latch& latch = status == net::IoStatus::want_write ? socket.writable : socket.readable;
        co_await latch.wait(Owner::role);
        if (!owner.lives()) co_return Handshaken::gone;
    }
}

}  // namespace penstock::proxy
