#pragma once

#include <cstddef>
#include <expected>
#include <string>

#include "app/limits.hpp"
#include "config/config.hpp"

namespace penstock::app {

/// The number of workers and connections that a configuration comes to on this machine.
struct Capacity {
    std::size_t workers;
    ConnectionLimit limit;
};

/// What `config` comes to on this machine; raises the descriptor limit. The error is a sentence for
/// the user.
[[nodiscard]] std::expected<Capacity, std::string> plan_capacity(const config::Config& config);

}  // namespace penstock::app
