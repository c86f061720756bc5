#pragma once

#include <cstddef>

namespace penstock {

/// Memory for coroutine frames and sessions: per-thread free lists by size class, so that the
/// steady state never calls malloc. A block must be given back on the thread that took it (sessions
/// live and die on one worker). Larger blocks go to operator new. With PENSTOCK_NO_POOLS (sanitizer
/// builds) every call is operator new / delete, so that a use after free is seen.
namespace free_list {

[[nodiscard]] void* take(std::size_t size);
void give_back(void* block, std::size_t size) noexcept;
/// Returns every cached block of the calling thread to the system.
void trim() noexcept;
/// Blocks that the calling thread's lists hold now.
[[nodiscard]] std::size_t cached_blocks() noexcept;

}  // namespace free_list

/// Gives a class the thread's free lists as its allocator.
struct FromFreeList {
    static void* operator new(std::size_t size) { return free_list::take(size); }
    static void operator delete(void* block, std::size_t size) noexcept {
        free_list::give_back(block, size);
    }
};

}  // namespace penstock
