#include "tests/bench/loadgen/wire.hpp"

#include <cstring>
#include <vector>

namespace penstock::bench {

namespace {
constexpr std::size_t period = 65'521;  // prime; small, so that checking stays within the L2 cache

std::uint64_t mix(std::uint64_t x) {  // the finalizer of SplitMix64 (Steele, Lea, Flood 2014)
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31U);
}

std::vector<std::byte> make_table() {
    std::vector<std::byte> table(period + max_piece);
    for (std::size_t i = 0; i < table.size(); ++i) {
        table[i] = i < period ? static_cast<std::byte>(mix(i) & 0xffU) : table[i - period];
    }
    return table;
}

Header make_header(Service service, std::size_t size, std::uint32_t tag) {
    return {header_magic, service, 0, static_cast<std::uint32_t>(size), tag};
}
}  // namespace

std::span<const std::byte> pattern_at(std::uint64_t position, std::size_t size) {
    static const std::vector<std::byte> table = make_table();
    return std::span(table).subspan(position % period, size);
}

void write_message(std::span<std::byte> message, Service service, std::uint32_t tag) {
    const Header header = make_header(service, message.size(), tag);
    std::memcpy(message.data(), &header, sizeof header);
    const auto payload = message.subspan(sizeof header);
    if (payload.empty()) return;
    std::memcpy(payload.data(), pattern_at(mix(tag), payload.size()).data(), payload.size());
}

bool is_message(std::span<const std::byte> message, Service service, std::uint32_t tag) {
    const Header header = make_header(service, message.size(), tag);
    if (message.size() < sizeof header) return false;
    if (std::memcmp(message.data(), &header, sizeof header) != 0) return false;
    const auto payload = message.subspan(sizeof header);
    return payload.empty() ||
           std::memcmp(payload.data(), pattern_at(mix(tag), payload.size()).data(),
                       payload.size()) == 0;
}

std::optional<Header> read_header(std::span<const std::byte> bytes) {
    Header header{};
    if (bytes.size() < sizeof header) return std::nullopt;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic != header_magic) return std::nullopt;
    return header;
}

std::uint64_t stream_start(std::uint32_t tag) { return mix(tag) % period; }

}  // namespace penstock::bench
