#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace penstock::balancer {

/// XXH3 of the bytes: the same on every machine. Well spread, not for secrets.
[[nodiscard]] std::uint64_t hash64(std::string_view text, std::uint64_t seed) noexcept;
[[nodiscard]] std::uint64_t hash64(std::span<const std::uint32_t> numbers,
                                   std::uint64_t seed) noexcept;

struct Hash128 {
    std::uint64_t low;
    std::uint64_t high;
};
[[nodiscard]] Hash128 hash128(std::string_view text, std::uint64_t seed) noexcept;

/// CRC-32 as zlib, Ethernet and nginx have it.
[[nodiscard]] std::uint32_t crc32(std::string_view text) noexcept;

/// Makes one well-spread number of another: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x += 0x9e37'79b9'7f4a'7c15;
    x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
    x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
    return x ^ (x >> 31);
}

}  // namespace penstock::balancer
