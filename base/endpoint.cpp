#include "base/endpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace penstock {

namespace {

constexpr std::size_t max_unix_path = sizeof(sockaddr_un::sun_path) - 1;

std::expected<std::uint16_t, std::string> parse_port(std::string_view text) {
    unsigned value = 0;
    auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || ec != std::errc{} || end != text.data() + text.size())
        return std::unexpected("the port is not a number");
    if (value > 65535) return std::unexpected("the port is above 65535");
    return static_cast<std::uint16_t>(value);
}

std::expected<Endpoint, std::string> parse_unix(std::string_view name) {
    const bool abstract = name.starts_with('@');
    if (name.empty() || name == "@") return std::unexpected("the path of the unix socket is empty");
    if (name.contains('\0')) return std::unexpected("the path of the unix socket contains a NUL");
    if (name.size() > max_unix_path)
        return std::unexpected("the path of the unix socket is longer than " +
                               std::to_string(max_unix_path) + " bytes");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(name, address.sun_path);
    if (abstract) address.sun_path[0] = '\0';
    const auto length = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                                   static_cast<socklen_t>(length));
}

std::expected<Endpoint, std::string> parse_ipv6(std::string_view host, std::uint16_t port) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    const auto percent = host.find('%');
    const std::string plain(host.substr(0, percent));
    if (::inet_pton(AF_INET6, plain.c_str(), &address.sin6_addr) != 1)
        return std::unexpected("'" + std::string(host) + "' is not an IPv6 address");
    if (percent != std::string_view::npos) {
        const std::string zone(host.substr(percent + 1));
        address.sin6_scope_id = ::if_nametoindex(zone.c_str());
        if (address.sin6_scope_id == 0)
            return std::unexpected("there is no network interface '" + zone + "'");
    }
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

std::size_t put_port(char* out, std::uint16_t port) noexcept {
    *out = ':';
    return static_cast<std::size_t>(std::to_chars(out + 1, out + 6, port).ptr - out);
}

bool is_host_label_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

}  // namespace

CompactEndpoint CompactEndpoint::from_sockaddr(const sockaddr* address, socklen_t length) noexcept {
    CompactEndpoint result;
    if (address == nullptr || length < sizeof(sa_family_t)) return result;
    if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
        sockaddr_in in{};
        std::memcpy(&in, address, sizeof in);
        std::memcpy(result.bytes_.data(), &in.sin_addr, 4);
        result.port_ = ntohs(in.sin_port);
        result.family_ = AF_INET;
    } else if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in{};
        std::memcpy(&in, address, sizeof in);
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(&in.sin6_addr);
        result.port_ = ntohs(in.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
            std::memcpy(result.bytes_.data(), bytes + 12, 4);
            result.family_ = AF_INET;
        } else {
            std::memcpy(result.bytes_.data(), bytes, 16);
            result.scope_ = in.sin6_scope_id;
            result.family_ = AF_INET6;
        }
    } else if (address->sa_family == AF_UNIX) {
        result.family_ = AF_UNIX;
    }
    return result;
}

std::size_t CompactEndpoint::format_to(char* out) const noexcept {
    if (family_ == AF_UNIX) {
        std::memcpy(out, "unix:", 5);
        return 5;
    }
    if (family_ == AF_INET) {
        char* end = out;
        for (std::size_t i = 0; i < 4; ++i) {
            if (i > 0) *end++ = '.';
            end = std::to_chars(end, end + 3, bytes_[i]).ptr;
        }
        return static_cast<std::size_t>(end - out) + put_port(end, port_);
    }
    if (family_ != AF_INET6) return 0;
    char* end = out;
    *end++ = '[';
    ::inet_ntop(AF_INET6, bytes_.data(), end, INET6_ADDRSTRLEN);
    end += std::strlen(end);
    if (scope_ != 0) {
        *end++ = '%';
        end = std::to_chars(end, end + 10, scope_).ptr;
    }
    *end++ = ']';
    return static_cast<std::size_t>(end - out) + put_port(end, port_);
}

std::string CompactEndpoint::to_string() const {
    char text[max_text_size];
    return {text, format_to(text)};
}

Endpoint Endpoint::ipv4(std::array<std::uint8_t, 4> address, std::uint16_t port) noexcept {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.data(), 4);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

Endpoint Endpoint::ipv6(std::array<std::uint8_t, 16> address, std::uint16_t port) noexcept {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, address.data(), 16);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&in), sizeof in);
}

Endpoint Endpoint::from_sockaddr(const sockaddr* address, socklen_t length) {
    Endpoint result;
    if (address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNIX) {
        result.family_ = AF_UNIX;
        const auto header = offsetof(sockaddr_un, sun_path);
        if (length > header) {
            const char* path = reinterpret_cast<const char*>(address) + header;
            const std::size_t size = length - header;
            result.abstract_ = path[0] == '\0';
            result.path_ = result.abstract_ ? std::string(path + 1, size - 1)
                                            : std::string(path, ::strnlen(path, size));
        }
        return result;
    }
    result.ip_ = CompactEndpoint::from_sockaddr(address, length);
    result.family_ = result.ip_.is_ipv4() ? AF_INET : result.ip_.is_ipv6() ? AF_INET6 : AF_UNSPEC;
    return result;
}

std::expected<Endpoint, std::string> Endpoint::parse(std::string_view text) {
    if (text.starts_with("unix:")) return parse_unix(text.substr(5));
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::unexpected("the port is missing");
    if (text.find(']') != std::string_view::npos && text.rfind(']') > colon)
        return std::unexpected("the port is missing after ']'");
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return std::unexpected(port.error());
    const auto host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
        return parse_ipv6(host.substr(1, host.size() - 2), *port);
    if (host.contains(':')) return std::unexpected("an IPv6 address stands in brackets: [::1]:80");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(*port);
    if (::inet_pton(AF_INET, std::string(host).c_str(), &address.sin_addr) != 1)
        return std::unexpected(host.empty() ? "the address before ':' is missing"
                                            : "'" + std::string(host) + "' is not an IP address");
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

std::expected<std::vector<Endpoint>, std::string> Endpoint::parse_bind(std::string_view text) {
    if (text.starts_with(':')) {
        const auto port = parse_port(text.substr(1));
        if (!port) return std::unexpected(port.error());
        return std::vector{ipv4({}, *port), ipv6({}, *port)};
    }
    auto one = parse(text);
    if (!one) return std::unexpected(one.error());
    return std::vector{*std::move(one)};
}

bool Endpoint::looks_like_host_name(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0 || !parse_port(text.substr(colon + 1)))
        return false;
    const auto host = text.substr(0, colon);
    const auto last_label = host.substr(host.rfind('.') + 1);  // npos + 1 == 0: the whole name
    const bool numeric =
        std::ranges::all_of(last_label, [](char c) { return c >= '0' && c <= '9'; });
    return host.size() <= 253 && !numeric && std::ranges::all_of(host, is_host_label_character);
}

bool Endpoint::is_loopback() const noexcept {
    if (family_ == AF_INET) return ip_.bytes()[0] == 127;
    static constexpr std::array<std::uint8_t, 16> one{0, 0, 0, 0, 0, 0, 0, 0,
                                                      0, 0, 0, 0, 0, 0, 0, 1};
    return family_ == AF_INET6 && ip_.bytes() == one;
}

socklen_t Endpoint::to_sockaddr(sockaddr_storage& out) const noexcept {
    out = {};
    if (family_ == AF_INET) {
        auto& in = reinterpret_cast<sockaddr_in&>(out);
        in.sin_family = AF_INET;
        in.sin_port = htons(ip_.port());
        std::memcpy(&in.sin_addr, ip_.bytes().data(), 4);
        return sizeof in;
    }
    if (family_ == AF_INET6) {
        auto& in = reinterpret_cast<sockaddr_in6&>(out);
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(ip_.port());
        in.sin6_scope_id = ip_.scope();
        std::memcpy(&in.sin6_addr, ip_.bytes().data(), 16);
        return sizeof in;
    }
    if (family_ != AF_UNIX) return 0;
    auto& un = reinterpret_cast<sockaddr_un&>(out);
    un.sun_family = AF_UNIX;
    const std::size_t offset = abstract_ ? 1 : 0;
    const std::size_t size = std::min(path_.size(), max_unix_path - offset);
    std::memcpy(un.sun_path + offset, path_.data(), size);
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + offset + size +
                                  (abstract_ ? 0 : 1));
}

std::string Endpoint::to_string() const {
    if (family_ == AF_UNIX) return (abstract_ ? "unix:@" : "unix:") + path_;
    return ip_.to_string();
}

}  // namespace penstock
