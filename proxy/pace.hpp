#pragma once

#include <algorithm>

#include "base/clock.hpp"
#include "base/free_list.hpp"
#include "net/latch.hpp"
#include "proxy/byte_budget.hpp"

namespace penstock::proxy {

/// One direction with a limited rate. A pump that has used up its budget waits on `resumed`, which
/// no event sets: only the end of the pause, or of the session, lets it go on.
struct Pace {
    Pace(std::uint64_t rate, TimePoint now) noexcept : budget(rate, now) {}

    ByteBudget budget;
    net::Latch resumed;
    TimePoint paused_until = no_deadline;  // no_deadline = not paused

    void end_pause(net::ReadyQueue& ready) {
        paused_until = no_deadline;
        resumed.wake(ready);
    }
};

/// Both directions of a session of which at least one has a limited rate.
struct Pacing : FromFreeList {
    Pacing(std::uint64_t upload_rate, std::uint64_t download_rate, TimePoint now) noexcept
        : to_backend(upload_rate, now), to_client(download_rate, now) {}

    Pace to_backend;
    Pace to_client;

    [[nodiscard]] TimePoint next_end() const noexcept {
        return std::min(to_backend.paused_until, to_client.paused_until);
    }
};

}  // namespace penstock::proxy
