#include "balancer/hash.hpp"

#include <bit>

#include <boost/crc.hpp>
#define XXH_INLINE_ALL  // as headers: no shared library for three functions
#include <xxhash.h>

namespace penstock::balancer {

static_assert(std::endian::native == std::endian::little);  // numbers are hashed as they lie

std::uint64_t hash64(std::string_view text, std::uint64_t seed) noexcept {
    return ::XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::uint64_t hash64(std::span<const std::uint32_t> numbers, std::uint64_t seed) noexcept {
    return ::XXH3_64bits_withSeed(numbers.data(), numbers.size_bytes(), seed);
}

Hash128 hash128(std::string_view text, std::uint64_t seed) noexcept {
    const auto hash = ::XXH3_128bits_withSeed(text.data(), text.size(), seed);
    return {hash.low64, hash.high64};
}

std::uint32_t crc32(std::string_view text) noexcept {
    boost::crc_32_type crc;
    crc.process_bytes(text.data(), text.size());
    return crc.checksum();
}

}  // namespace penstock::balancer
