#pragma once

#include <chrono>
#include <optional>

#include "tests/support/socket.hpp"

/// When something came, by the kernel's clock: the test itself may be woken late.
namespace penstock::test {

/// From now on the kernel notes when what comes on this socket has come.
void note_arrivals(const Socket& socket);

/// Waits until there is something to read, and leaves it there: when the last segment of it came,
/// since 1970. Nothing when nothing comes in time.
[[nodiscard]] std::optional<std::chrono::nanoseconds> arrival_of(const Socket& socket,
                                                                 milliseconds limit = patience);

}  // namespace penstock::test
