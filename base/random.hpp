#pragma once

#include <array>
#include <cstdint>

namespace penstock {

/// xoshiro256** (Blackman and Vigna, 2018): fast, seedable, not for secrets. One owner thread.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept;
    /// Seeded by getrandom(2).
    static Random from_entropy() noexcept;

    std::uint64_t next() noexcept;
    /// Uniform in [0, bound); bound > 0 (Lemire's multiply-shift; the bias is below 2^-32).
    std::uint32_t below(std::uint32_t bound) noexcept;
    /// Uniform in [0, 1).
    double unit() noexcept;

private:
    std::array<std::uint64_t, 4> state_;
};

/// 64 bits from getrandom(2).
std::uint64_t entropy() noexcept;

}  // namespace penstock
