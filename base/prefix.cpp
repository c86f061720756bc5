#include "base/prefix.hpp"

#include <algorithm>
#include <charconv>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace penstock {

namespace {

using Bytes = std::array<std::uint8_t, 16>;

constexpr unsigned mapped_bits = 96;
constexpr Bytes mapped_beginning{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const Bytes& address) noexcept {
    return std::equal(address.begin(), address.begin() + 12, mapped_beginning.begin());
}

/// The address and whether it is an IPv4 one.
std::expected<std::pair<Bytes, bool>, std::string> parse_address(const std::string& text) {
    Bytes bytes = mapped_beginning;
    if (::inet_pton(AF_INET, text.c_str(), &bytes[12]) == 1) return std::pair{bytes, true};
    if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1)
        return std::unexpected("this is neither an IPv4 nor an IPv6 address");
    return std::pair{bytes, false};
}

}  // namespace

std::expected<Prefix, std::string> Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = parse_address(std::string(text.substr(0, slash)));
    if (!address) return std::unexpected(address.error());
    const auto [bytes, ipv4] = *address;
    const unsigned most = ipv4 ? 32 : 128;
    unsigned length = most;
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        const auto [end, ec] =
            std::from_chars(digits.data(), digits.data() + digits.size(), length);
        if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size())
            return std::unexpected("the length after '/' is not a number");
        if (length > most)
            return std::unexpected("the length after '/' is above " + std::to_string(most));
    }
    if (ipv4) length += mapped_bits;
    const Prefix prefix{network_of(bytes, length), static_cast<std::uint8_t>(length)};
    if (prefix.bytes != bytes)
        return std::unexpected("it has bits set behind the prefix; the network is " +
                               prefix.to_string());
    return prefix;
}

std::array<std::uint8_t, 16> Prefix::mapped(const CompactEndpoint& peer) noexcept {
    if (!peer.is_ipv4()) return peer.bytes();
    Bytes bytes = mapped_beginning;
    std::copy_n(peer.bytes().begin(), 4, &bytes[12]);
    return bytes;
}

std::array<std::uint8_t, 16> Prefix::network_of(std::array<std::uint8_t, 16> address,
                                                unsigned length) noexcept {
    for (unsigned i = 0; i < address.size(); ++i) {
        const unsigned kept = length > i * 8 ? std::min(length - i * 8, 8U) : 0;
        address[i] = static_cast<std::uint8_t>(address[i] & (0xff00U >> kept));
    }
    return address;
}

bool Prefix::contains(const std::array<std::uint8_t, 16>& address) const noexcept {
    if (length < mapped_bits && is_mapped(address)) return false;
    return network_of(address, length) == bytes;
}

bool Prefix::is_ipv4() const noexcept { return length >= mapped_bits && is_mapped(bytes); }

std::string Prefix::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool ipv4 = is_ipv4();
    if (ipv4)
        ::inet_ntop(AF_INET, &bytes[12], text.data(), text.size());
    else
        ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
    return std::string(text.data()) + '/' + std::to_string(length - (ipv4 ? mapped_bits : 0));
}

}  // namespace penstock
