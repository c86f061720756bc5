#include "base/sip_hash.hpp"

#include <set>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(SipHash, has_the_value_of_the_reference) {
    std::array<std::uint8_t, 16> message{};
    for (std::uint8_t i = 0; i < 16; ++i) message[i] = i;
    // openssl mac -macopt hexkey:000102...0f -macopt size:8 -macopt c-rounds:1 -macopt d-rounds:3
    // SIPHASH prints 668B907D1ADD4FCC, the least significant byte first.
    EXPECT_EQ(SipHash(0x0706050403020100, 0x0f0e0d0c0b0a0908)(message), 0xcc4fdd1a7d908b66U);
}

TEST(SipHash, another_key_gives_another_order) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t k = 0; k < 1000; ++k) seen.insert(SipHash(k, ~k)({}));
    EXPECT_EQ(seen.size(), 1000U);
}

}  // namespace
}  // namespace penstock
