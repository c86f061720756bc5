#include "tests/support/keyed_stream.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace penstock::test {

namespace {

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): a counter
// through a bijection. Being a bijection it can be undone, which is how find() works.
constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;

constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

constexpr std::uint64_t inverse_of_odd(std::uint64_t value) {
    std::uint64_t inverse = value;  // Newton's iteration doubles the correct low bits each time
    for (int i = 0; i < 6; ++i) inverse *= 2 - value * inverse;
    return inverse;
}

constexpr std::uint64_t undo_shift(std::uint64_t z, int shift) {
    std::uint64_t result = z;
    for (int done = shift; done < 64; done += shift) result = z ^ (result >> shift);
    return result;
}

constexpr std::uint64_t unmix(std::uint64_t z) {
    z = undo_shift(z, 31) * inverse_of_odd(0x94D049BB133111EBULL);
    z = undo_shift(z, 27) * inverse_of_odd(0xBF58476D1CE4E5B9ULL);
    return undo_shift(z, 30);
}
static_assert(unmix(mix(0x0123456789ABCDEFULL)) == 0x0123456789ABCDEFULL);

std::uint64_t load_word(const std::byte* at) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
}

constexpr std::uint64_t id_words = ConnectionId::size / 8;
constexpr std::uint64_t searched_words = (std::uint64_t{1} << 40) / 8;

std::string hex(std::span<const std::byte> bytes) {
    std::string out;
    for (const std::byte byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", std::to_integer<unsigned>(byte));
        out += digits;
    }
    return out;
}

}  // namespace

ConnectionId ConnectionId::from_serial(std::uint64_t serial) {
    const std::uint64_t words[2] = {mix(serial * 2 + 1), mix(~serial)};
    ConnectionId id;
    std::memcpy(id.bytes.data(), words, sizeof words);
    return id;
}

std::string ConnectionId::text() const { return hex(bytes); }

const char* name_of(Direction direction) {
    return direction == Direction::to_backend ? "to_backend" : "to_client";
}

KeyedStream::KeyedStream(const ConnectionId& id, Direction direction)
    : id_(id), direction_(direction) {
    const std::uint64_t first = load_word(id.bytes.data());
    const std::uint64_t second = load_word(id.bytes.data() + 8);
    key_ = mix(first ^ mix(second + (direction == Direction::to_backend ? 1 : 2)));
}

std::uint64_t KeyedStream::word_at(std::uint64_t index) const {
    if (index < id_words) return load_word(id_.bytes.data() + 8 * index);
    return mix(key_ + index * golden);
}

void KeyedStream::fill(std::uint64_t offset, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const std::uint64_t word = word_at((offset + done) / 8);
        const std::size_t skip = (offset + done) % 8;
        const std::size_t count = std::min(std::size_t{8} - skip, out.size() - done);
        std::byte bytes[8];
        std::memcpy(bytes, &word, sizeof bytes);
        std::memcpy(out.data() + done, bytes + skip, count);
        done += count;
    }
}

std::optional<std::uint64_t> KeyedStream::find(std::uint64_t word) const {
    for (std::uint64_t i = 0; i < id_words; ++i)
        if (word_at(i) == word) return 8 * i;
    const std::uint64_t index = (unmix(word) - key_) * inverse_of_odd(golden);
    if (index < id_words || index >= searched_words) return std::nullopt;
    return 8 * index;
}

void StreamRegistry::add(const KeyedStream& stream) {
    const std::lock_guard lock(mutex_);
    streams_.push_back(stream);
}

std::optional<std::string> StreamRegistry::origin_of(std::span<const std::byte> bytes) const {
    const std::lock_guard lock(mutex_);
    // The bytes may start anywhere within a word of their stream: try the eight alignments.
    for (std::size_t skip = 0; skip < 8 && skip + 8 <= bytes.size(); ++skip) {
        for (const KeyedStream& stream : streams_) {
            const auto at = stream.find(load_word(bytes.data() + skip));
            if (!at || *at < skip) continue;
            return "connection " + stream.id().text() + " " + name_of(stream.direction()) +
                   " offset " + std::to_string(*at - skip);
        }
    }
    return std::nullopt;
}

void StreamVerifier::feed(std::span<const std::byte> bytes) {
    std::array<std::byte, 4096> want;
    for (std::size_t done = 0; done < bytes.size() && !mismatch_;) {
        const std::size_t count = std::min(want.size(), bytes.size() - done);
        expected_.fill(received_ + done, std::span(want).first(count));
        const auto part = bytes.subspan(done, count);
        const auto [wrong, unused] = std::mismatch(part.begin(), part.end(), want.begin());
        if (wrong != part.end()) {
            const std::size_t at = done + static_cast<std::size_t>(wrong - part.begin());
            const auto rest = bytes.subspan(at);
            std::string found = hex(rest.first(std::min<std::size_t>(16, rest.size())));
            const auto origin = known_ ? known_->origin_of(rest) : std::nullopt;
            found += origin ? " = " + *origin : " of no known stream";
            mismatch_ = Mismatch{received_ + at, std::move(found)};
        }
        done += count;
    }
    received_ += bytes.size();
}

}  // namespace penstock::test
