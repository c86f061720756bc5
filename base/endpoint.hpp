#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

namespace penstock {

/// An IPv4 or IPv6 address with its port, or "a unix socket", in 24 bytes: what a session keeps of
/// its peers. A unix peer has no name worth keeping; it prints as `unix:`.
class CompactEndpoint {
public:
    CompactEndpoint() = default;
    /// An unknown family gives an empty endpoint; IPv4-mapped IPv6 addresses become IPv4.
    static CompactEndpoint from_sockaddr(const sockaddr* address, socklen_t length) noexcept;

    [[nodiscard]] bool empty() const noexcept { return family_ == AF_UNSPEC; }
    [[nodiscard]] bool is_unix() const noexcept { return family_ == AF_UNIX; }
    /// 0.0.0.0 or [::].
    [[nodiscard]] bool is_any_address() const noexcept {
        return (is_ipv4() || is_ipv6()) && bytes_ == std::array<std::uint8_t, 16>{};
    }
    [[nodiscard]] bool is_ipv4() const noexcept { return family_ == AF_INET; }
    [[nodiscard]] bool is_ipv6() const noexcept { return family_ == AF_INET6; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// 4 bytes for IPv4, 16 for IPv6, network order.
    [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint32_t scope() const noexcept { return scope_; }

    /// Writes `10.0.0.1:80`, `[::1]:80`, `unix:` without a terminator; returns the length.
    /// `out` must have room for max_text_size characters.
    std::size_t format_to(char* out) const noexcept;
    static constexpr std::size_t max_text_size = 72;
    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const CompactEndpoint&, const CompactEndpoint&) = default;

private:
    std::array<std::uint8_t, 16> bytes_{};
    std::uint32_t scope_ = 0;
    std::uint16_t port_ = 0;
    std::uint16_t family_ = AF_UNSPEC;
};
static_assert(sizeof(CompactEndpoint) == 24);

/// Where to listen or connect: an IP address with a port, a unix socket path or an abstract name.
class Endpoint {
public:
    Endpoint() = default;
    static Endpoint ipv4(std::array<std::uint8_t, 4> address, std::uint16_t port) noexcept;
    static Endpoint ipv6(std::array<std::uint8_t, 16> address, std::uint16_t port) noexcept;
    static Endpoint from_sockaddr(const sockaddr* address, socklen_t length);

    /// Parses `10.0.0.1:80`, `[::1]:80`, `[fe80::1%eth0]:80`, `unix:/path`, `unix:@abstract`.
    /// The error is a sentence for the user, without the text itself.
    static std::expected<Endpoint, std::string> parse(std::string_view text);
    /// As parse(), and `:80` for all addresses of both families, which gives two endpoints.
    static std::expected<std::vector<Endpoint>, std::string> parse_bind(std::string_view text);
    /// True for `host.example:80`: not an address, but a valid host name with a port.
    static bool looks_like_host_name(std::string_view text);

    [[nodiscard]] int family() const noexcept { return family_; }
    [[nodiscard]] bool is_unix() const noexcept { return family_ == AF_UNIX; }
    [[nodiscard]] bool is_abstract() const noexcept { return is_unix() && abstract_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return ip_.port(); }
    [[nodiscard]] bool is_any_address() const noexcept { return ip_.is_any_address(); }
    [[nodiscard]] bool is_loopback() const noexcept;
    /// Path or abstract name (without the '@'); empty for IP endpoints.
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const CompactEndpoint& ip() const noexcept { return ip_; }

    /// Fills `out`; returns its length for bind() and connect().
    socklen_t to_sockaddr(sockaddr_storage& out) const noexcept;
    /// The form that parse() reads.
    [[nodiscard]] std::string to_string() const;

    friend auto operator<=>(const Endpoint&, const Endpoint&) = default;

private:
    int family_ = AF_UNSPEC;
    bool abstract_ = false;
    CompactEndpoint ip_;
    std::string path_;
};

}  // namespace penstock
