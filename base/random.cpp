#include "base/random.hpp"

#include <bit>

#include <sys/random.h>

namespace penstock {

namespace {

std::uint64_t splitmix(std::uint64_t& state) noexcept {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}  // namespace

std::uint64_t entropy() noexcept {
    std::uint64_t value = 0;
    // Up to 256 bytes are never interrupted nor short once the pool is initialized (getrandom(2)).
    [[maybe_unused]] const auto got = ::getrandom(&value, sizeof value, 0);
    return value;
}

Random::Random(std::uint64_t seed) noexcept {
    for (auto& word : state_) word = splitmix(seed);
}

Random Random::from_entropy() noexcept { return Random(entropy()); }

std::uint64_t Random::next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

std::uint32_t Random::below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
}

double Random::unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

}  // namespace penstock
