#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <functional>
#include <string>

#include "base/clock.hpp"

namespace penstock::app::sandbox {

/// It has not been done in all threads.
struct Unfinished {
    std::string why;  // a sentence
    std::size_t threads = 0;  // that have done it
};

/// Does something in every thread of the process, whoever has made it, because the kernel keeps
/// privileges by thread. In all threads but the caller's it runs in a signal handler: it may make
/// system calls, and nothing else. It returns 0 or an errno. The caller must be the one thread that
/// makes others, and comes first. `patience`: for each of them.
[[nodiscard]] std::expected<void, Unfinished> on_every_thread(
    std::function<int()> action, Duration patience = std::chrono::seconds(10));

}  // namespace penstock::app::sandbox
