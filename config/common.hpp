#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace penstock::config {

struct Drain {
    Duration wait = std::chrono::seconds(25);       // natural end first; `never` where allowed
    Duration close_over = std::chrono::seconds(5);  // then closing evenly, idle ones first
    bool operator==(const Drain&) const = default;
};

struct Keepalive {
    Duration idle = std::chrono::seconds(60);
    Duration interval = std::chrono::seconds(15);
    std::uint32_t probes = 4;
    bool operator==(const Keepalive&) const = default;
};

/// base, doubling up to max.
struct Growing {
    Duration base{};
    Duration max{};
    bool operator==(const Growing&) const = default;
};

}  // namespace penstock::config
