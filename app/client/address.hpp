#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/interpolate.hpp"

namespace penstock::app::client {

/// Where a running proxy's admin API listens.
struct AdminAddress {
    std::string unix_path{};  // "@name" = abstract; empty = TCP
    std::string host{};       // name or IP address, without brackets
    std::uint16_t port = 0;

    [[nodiscard]] bool is_unix() const noexcept { return !unix_path.empty(); }
    /// `unix:/run/penstock/admin.sock`, `localhost:9901`, `[::1]:9901`.
    [[nodiscard]] std::string to_string() const;
    /// The value of the Host header.
    [[nodiscard]] std::string host_header() const;

    friend bool operator==(const AdminAddress&, const AdminAddress&) = default;
};

/// `unix:PATH`, `host:port`, `http://host:port`. The error is a sentence for the user.
[[nodiscard]] std::expected<AdminAddress, std::string> parse_admin_address(std::string_view text);

/// The unix sockets where a proxy of this machine listens unless it is told otherwise, best first.
[[nodiscard]] std::vector<AdminAddress> default_addresses(const config::Environment& environment);

}  // namespace penstock::app::client
