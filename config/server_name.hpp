#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace penstock::config {

/// A name that TLS clients ask for, as it stands in a configuration: lower case, without a dot at
/// the end; exact, or with `*` as the first of several labels. The error goes behind the name.
[[nodiscard]] std::expected<void, std::string> check_server_name(std::string_view name);

}  // namespace penstock::config
