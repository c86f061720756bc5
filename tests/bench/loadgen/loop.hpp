#pragma once

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "tests/support/unique_fd.hpp"

namespace penstock::bench {

using test::UniqueFd;
using Clock = std::chrono::steady_clock;

/// What the loop calls when a watched descriptor has something to tell.
class Handler {
public:
    /// `events` is epoll's mask. A handler may remove and destroy itself here, never another one:
    /// the batch of events being handled may still name it.
    virtual void on_ready(std::uint32_t events) = 0;

protected:
    ~Handler() = default;
};

/// A level-triggered epoll instance. Single-threaded; does not own descriptors or handlers.
class Loop {
public:
    Loop();

    /// Throws std::system_error when the descriptor cannot be watched.
    void add(int fd, Handler& handler, std::uint32_t interest);
    void change(int fd, Handler& handler, std::uint32_t interest);
    void remove(int fd);

    /// Waits for events until `deadline` at most and handles one batch of them.
    void turn(Clock::time_point deadline);

private:
    void control(int operation, int fd, Handler* handler, std::uint32_t interest);

    UniqueFd epoll_;
    std::array<epoll_event, 256> events_;
};

}  // namespace penstock::bench
