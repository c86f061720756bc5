#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace penstock {

/// SipHash-1-3 (Aumasson and Bernstein, 2012) of 16 bytes under a secret key: whoever does not know
/// the key cannot find inputs that collide.
class SipHash {
public:
    SipHash(std::uint64_t key0, std::uint64_t key1) noexcept : key0_(key0), key1_(key1) {}

    [[nodiscard]] std::uint64_t operator()(
        const std::array<std::uint8_t, 16>& bytes) const noexcept {
        static_assert(std::endian::native == std::endian::little);
        std::array<std::uint64_t, 2> words;
        std::memcpy(words.data(), bytes.data(), bytes.size());
        State v{key0_ ^ 0x736f6d6570736575, key1_ ^ 0x646f72616e646f6d, key0_ ^ 0x6c7967656e657261,
                key1_ ^ 0x7465646279746573};
        for (const std::uint64_t word : {words[0], words[1], std::uint64_t{16} << 56}) {
            v.d ^= word;
            v.round();
            v.a ^= word;
        }
        v.c ^= 0xff;
        for (int i = 0; i < 3; ++i) v.round();
        return v.a ^ v.b ^ v.c ^ v.d;
    }

private:
    struct State {
        std::uint64_t a, b, c, d;
        void round() noexcept {
            a += b;
            b = std::rotl(b, 13) ^ a;
            a = std::rotl(a, 32);
            c += d;
            d = std::rotl(d, 16) ^ c;
            a += d;
            d = std::rotl(d, 21) ^ a;
            c += b;
            b = std::rotl(b, 17) ^ c;
            c = std::rotl(c, 32);
        }
    };

    std::uint64_t key0_;
    std::uint64_t key1_;
};

}  // namespace penstock
