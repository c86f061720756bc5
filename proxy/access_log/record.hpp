#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/clock.hpp"
#include "base/close_reason.hpp"
#include "base/endpoint.hpp"
#include "proxy/attempt.hpp"

namespace penstock::proxy {

struct ClientFacts;

/// A connection's unique id: a random number of the process and one of the connection.
struct ConnectionId {
    std::uint64_t process;
    std::uint64_t sequence;  // worker in the upper 16 bits
};

inline constexpr std::uint32_t unknown_time = ~std::uint32_t{0};

/// A known time, in whole microseconds; one of more than an hour is cut.
constexpr std::uint32_t microseconds(Duration duration) noexcept {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(whole_us(duration), unknown_time - 1));
}

/// All that a line of the access log says; views live as long as the call that formats them.
struct LogRecord {
    enum class Event : std::uint8_t { open, close };
    Event event;
    WallTime accepted;
    ConnectionId id;
    std::string_view listener;
    unsigned worker;
    CompactEndpoint client;
    CompactEndpoint local;
    std::string_view upstream;
    const balancer::Backend* backend = nullptr;
    CompactEndpoint backend_local;
    std::span<const Attempt> failed_attempts;
    bool warm = false;  // a connection of the pool
    std::uint32_t queue_us = unknown_time;
    std::uint32_t connect_us = unknown_time;
    std::uint32_t first_byte_us = unknown_time;
    std::uint64_t duration_us = 0;
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;
    ClosedBy closed_by = ClosedBy::none;
    CloseReason reason = CloseReason::none;
    std::string_view detail;
    ReasonSet would_refuse = {};  // a dry run let it pass
    const ClientFacts* facts = nullptr;  // what it told beyond its bytes
};

}  // namespace penstock::proxy
