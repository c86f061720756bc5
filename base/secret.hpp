#pragma once

#include <cstddef>
#include <cstring>
#include <expected>
#include <functional>
#include <string>

namespace penstock {

/// Overwrites memory that nobody may read any more: explicit_bzero(3), in a form that sanitizers
/// see.
inline void wipe(void* memory, std::size_t size) noexcept {
    if (size != 0) std::memset(memory, 0, size);
    asm volatile("" : : "r"(memory) : "memory");
}
/// Overwrites `secret` before it is let go.
void wipe(std::string& secret) noexcept;

/// Reads a descriptor to its end. Whatever it is, it may be a secret: the text is the only place
/// that its bytes come to, so that whoever wipes it has wiped all of them. The error is an errno;
/// EFBIG = there are more than `most` bytes. `wait`, where there is one, is called before each
/// read; false ends it with ETIMEDOUT.
[[nodiscard]] std::expected<std::string, int> read_to_end(int fd, std::size_t most,
                                                          const std::function<bool()>& wait = {});

}  // namespace penstock
