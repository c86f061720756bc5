#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace penstock::net {

/// What the kernel knows of one TCP connection's delivery; see tcp(7), TCP_INFO.
struct DeliveryInfo {
    std::uint64_t bytes_acked;
    std::uint32_t unacked_segments;
    std::uint32_t unsent_bytes;
    std::uint32_t window_probes;  // sent in a row without an answer
    Duration since_last_ack;
};

/// Nothing if the socket is not TCP or the kernel does not answer.
[[nodiscard]] std::optional<DeliveryInfo> delivery_info(int fd) noexcept;

/// How many connections a listening socket holds that nobody has accepted yet.
struct AcceptQueueInfo {
    std::uint32_t length;
    std::uint32_t limit;
};
/// Nothing if the socket is not TCP, or not listening.
[[nodiscard]] std::optional<AcceptQueueInfo> accept_queue(int fd) noexcept;

}  // namespace penstock::net
