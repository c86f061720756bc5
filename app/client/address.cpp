#include "app/client/address.hpp"

#include <cstdlib>

#include <fmt/format.h>

#include "app/runtime_directory.hpp"
#include "base/endpoint.hpp"

namespace penstock::app::client {

namespace {

constexpr std::string_view http = "http://";
constexpr std::string_view forms = "it is unix:PATH, host:port or http://host:port";

bool is_ipv6(std::string_view host) noexcept { return host.contains(':'); }

std::expected<AdminAddress, std::string> from_endpoint(const Endpoint& endpoint) {
    AdminAddress address;
    if (endpoint.is_unix()) {
        address.unix_path = (endpoint.is_abstract() ? "@" : "") + endpoint.path();
        return address;
    }
    if (endpoint.port() == 0) return std::unexpected("port 0 is no port to connect to");
    const auto text = endpoint.to_string();
    address.host = text.substr(0, text.rfind(':'));
    if (address.host.starts_with('['))
        address.host = address.host.substr(1, address.host.size() - 2);
    address.port = endpoint.port();
    return address;
}

std::expected<AdminAddress, std::string> parse_host_name(std::string_view text) {
    const auto colon = text.rfind(':');
    // A number in range: looks_like_host_name() has seen to it.
    const auto port = std::strtoul(std::string(text.substr(colon + 1)).c_str(), nullptr, 10);
    if (port == 0 || port > 65535) return std::unexpected("the port is not one from 1 to 65535");
    AdminAddress address;
    address.host = text.substr(0, colon);
    address.port = static_cast<std::uint16_t>(port);
    return address;
}

}  // namespace

std::string AdminAddress::to_string() const {
    return is_unix() ? "unix:" + unix_path : host_header();
}

std::string AdminAddress::host_header() const {
    if (is_unix()) return "localhost";
    return fmt::format("{}{}{}:{}", is_ipv6(host) ? "[" : "", host, is_ipv6(host) ? "]" : "", port);
}

std::expected<AdminAddress, std::string> parse_admin_address(std::string_view text) {
    if (text.starts_with("https://"))
        return std::unexpected(
            "this command speaks no TLS; use the unix socket, or a tunnel such as `ssh -L`");
    if (text.starts_with('/') || text.starts_with('.'))
        return std::unexpected(fmt::format("a path needs its kind: unix:{}", text));
    auto rest = text;
    if (rest.starts_with(http)) {
        rest.remove_prefix(http.size());
        if (rest.starts_with("unix:")) return std::unexpected(std::string(forms));
        if (rest.ends_with('/')) rest.remove_suffix(1);
    }
    if (rest.empty()) return std::unexpected(std::string(forms));
    const auto endpoint = Endpoint::parse(rest);
    if (endpoint) return from_endpoint(*endpoint);
    if (Endpoint::looks_like_host_name(rest)) return parse_host_name(rest);
    return std::unexpected(fmt::format("{}; {}", endpoint.error(), forms));
}

std::vector<AdminAddress> default_addresses(const config::Environment& environment) {
    std::vector<AdminAddress> out;
    for (const auto& directory : runtime_candidates(environment)) {
        AdminAddress address;
        address.unix_path = directory + "/admin.sock";
        out.push_back(std::move(address));
    }
    return out;
}

}  // namespace penstock::app::client
