#pragma once

#include <cstdint>

// Bounds of keys that whoever carries them out must live up to.
namespace penstock::config {

/// client_hello_max: all of it is looked at before anything is taken from the kernel's queue.
inline constexpr std::uint64_t largest_client_hello = 64 * 1024;

}  // namespace penstock::config
