#pragma once

#include <cstdint>
#include <vector>

#include <sys/epoll.h>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "net/latch.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

class Watch;

/// Hears that a peer hung up, whether or not a coroutine waits on that socket.
class HangupHandler {
public:
    /// RDHUP, HUP or ERR was reported for `watch` for the first time, or again. Called once per
    /// batch of events, before any coroutine runs.
    virtual void on_hangup(Watch& watch) = 0;

protected:
    ~HangupHandler() = default;
};

/// A descriptor known to a Poller. Owned by whoever owns the descriptor; must be at the same
/// address while it is registered, and freed only after the batch of events that may name it.
class Watch {
public:
    Watch() = default;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    /// The EPOLL* bits among RDHUP, HUP, ERR and PRI that were ever reported.
    [[nodiscard]] std::uint32_t seen() const noexcept { return seen_; }

    Latch readable;
    Latch writable;

protected:
    ~Watch() = default;
    void forget_events() noexcept { seen_ = 0; }

    HangupHandler* hangup_handler_ = nullptr;
    int fd_ = -1;

private:
    friend class Poller;
    std::uint32_t seen_ = 0;
    bool hangup_queued_ = false;
};

/// An epoll instance, and the latches of what it watches. One owner thread.
class Poller {
public:
    static constexpr std::uint32_t stream_events =
        EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
    static constexpr std::uint32_t accept_events = EPOLLIN;  // level-triggered: see Acceptor
    static constexpr int max_batch = 256;

    /// Throws std::system_error: a worker without an epoll instance cannot start.
    Poller();

    /// Registers once; a stream is never modified again. `events` as above.
    [[nodiscard]] std::error_code add(Watch& watch, std::uint32_t events) noexcept;
    /// Changes what a level-triggered watch reports; 0 silences it.
    void modify(Watch& watch, std::uint32_t events) noexcept;
    /// `watch` has taken over a registered descriptor from another Watch: what is ready now is
    /// reported again, to it.
    [[nodiscard]] std::error_code reassign(Watch& watch, std::uint32_t events) noexcept;
    /// Needed only before closing a descriptor that another process may hold as well.
    void remove(Watch& watch) noexcept;

    /// A descriptor whose edges only end a wait.
    [[nodiscard]] std::error_code add_wake_up(int fd) noexcept;

    /// Waits at most `timeout` (rounded up to milliseconds, `never` = for ever) for events, then
    /// sets the latches, queues their waiters and calls the hang-up handlers. Returns how many
    /// events came; max_batch means that there may be more.
    int wait(Duration timeout);

    [[nodiscard]] ReadyQueue& ready() noexcept { return ready_; }

private:
    void dispatch(Watch& watch, std::uint32_t events);

    UniqueFd epoll_;
    ReadyQueue ready_;
    std::vector<Watch*> hangups_;
    epoll_event events_[max_batch];
};

}  // namespace penstock::net
