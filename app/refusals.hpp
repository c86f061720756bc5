#pragma once

#include <expected>
#include <string>

#include <fmt/format.h>

#include "admin/operations.hpp"

/// What is said of names that the configuration does not have, and when nothing can be changed.
namespace penstock::app {

inline constexpr const char* proxy_stops = "the proxy is stopping";

inline std::unexpected<admin::Refusal> no_upstream(const std::string& name) {
    return std::unexpected(admin::Refusal{404, fmt::format("there is no upstream '{}'", name)});
}

inline std::unexpected<admin::Refusal> no_listener(const std::string& name) {
    return std::unexpected(admin::Refusal{404, fmt::format("there is no listener '{}'", name)});
}

inline std::unexpected<admin::Refusal> no_backend(const std::string& upstream,
                                                  const std::string& backend) {
    return std::unexpected(
        admin::Refusal{404, fmt::format("upstream {} has no backend '{}'", upstream, backend)});
}

}  // namespace penstock::app
