#include "balancer/hash_key.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "balancer/hash.hpp"

namespace penstock::balancer {

namespace {

// The key's text in `room`, from `10.0.0.1:80` or `[fe80::1%2]:80` in it.
std::string_view key_text(std::span<char> room, std::size_t length, HashKey key) noexcept {
    const std::string_view text(room.data(), length);
    const auto port = text.rfind(':');
    const bool bracketed = text.front() == '[';
    const std::string_view address =
        bracketed ? text.substr(1, text.find_first_of("%]") - 1) : text.substr(0, port);
    if (key == HashKey::source_ip) return address;
    if (!bracketed) return text;
    // Only the brackets and the scope go.
    char* const end = room.data() + 1 + address.size();
    std::memmove(end, text.data() + port, length - port);
    return {address.data(), address.size() + length - port};
}

}  // namespace

std::optional<std::uint64_t> KeyHasher::hash(const CompactEndpoint& client,
                                             std::string_view server_name) const noexcept {
    const bool ring = policy_ == PolicyKind::ring_hash;
    if (!ring && policy_ != PolicyKind::maglev) return std::nullopt;
    std::array<char, CompactEndpoint::max_text_size> room;
    std::string_view text = server_name;
    if (key_ != HashKey::sni) {
        if (!client.is_ipv4() && !client.is_ipv6()) return std::nullopt;
        text = key_text(room, client.format_to(room.data()), key_);
    }
    if (text.empty()) return std::nullopt;
    if (!ring) return hash64(text, seed_);
    return seed_ == 0 ? crc32(text) : hash64(text, seed_) >> 32;
}

}  // namespace penstock::balancer
