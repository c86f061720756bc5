#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"

namespace penstock {

/// A network: `10.0.0.0/8`, `2001:db8::/32`. IPv4 networks are kept as IPv4-mapped IPv6 ones, 96
/// bits longer, so that one table serves both and a mapped address is treated as IPv4.
struct Prefix {
    std::array<std::uint8_t, 16> bytes{};  // network order; host bits are 0
    std::uint8_t length = 0;               // 0 to 128

    /// Parses a network or a single address (`10.0.0.1` is `/32`). Host bits are an error that
    /// names the network meant. The error is a sentence for the user, without the text itself.
    static std::expected<Prefix, std::string> parse(std::string_view text);
    /// The address of an IP peer as 16 bytes, IPv4 mapped. The peer must not be a unix one.
    static std::array<std::uint8_t, 16> mapped(const CompactEndpoint& peer) noexcept;

    /// The first `length` bits of an address, the others 0.
    static std::array<std::uint8_t, 16> network_of(std::array<std::uint8_t, 16> address,
                                                   unsigned length) noexcept;

    /// A network shorter than the IPv4-mapped ones, `::/0` too, holds no IPv4 address.
    [[nodiscard]] bool contains(const std::array<std::uint8_t, 16>& address) const noexcept;
    [[nodiscard]] bool is_ipv4() const noexcept;
    /// The form that parse() reads; always with its length.
    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// Peers as a list of the configuration names them: networks, `"unix"`, `"all"`.
struct PeerList {
    std::vector<Prefix> prefixes{};
    bool unix_peers = false;
    bool all = false;  // every peer, unix ones too

    [[nodiscard]] bool empty() const noexcept { return prefixes.empty() && !unix_peers && !all; }
    friend bool operator==(const PeerList&, const PeerList&) = default;
};

}  // namespace penstock
