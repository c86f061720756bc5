#pragma once

#include <cstdint>
#include <span>

/// The system calls that a sandboxed process may make. Plain names, so that one list does for every
/// architecture: what an architecture does not have is left out there.
namespace penstock::app::sandbox {

/// Allowed whatever the arguments are: the kernel answers for these from a bitmap, without running
/// the filter. All calls on the way of a relayed byte are among them.
[[nodiscard]] std::span<const char* const> free_calls();

/// Allowed where an argument, taken as 32 bits, is one of these values; and another one, where that
/// has a mask.
struct CheckedCall {
    struct Argument {
        unsigned index = 0;
        std::uint32_t mask = 0;
        std::uint32_t value = 0;
    };
    const char* name;
    unsigned argument;
    std::uint32_t mask;
    std::uint32_t value;
    Argument other{};
};
[[nodiscard]] std::span<const CheckedCall> checked_calls();

/// Those that are answered with ENOSYS, so that the C library takes the older one.
[[nodiscard]] std::span<const char* const> unknown_calls();

}  // namespace penstock::app::sandbox
