#pragma once

#include <string>

#include "config/config.hpp"

namespace penstock::app {

/// Clients of the listener may come to that upstream asking for that role: by what the listener
/// itself says, by one of its server names or by one of its routes.
[[nodiscard]] bool leads_to(const config::Listener& listener, const std::string& upstream,
                            Role role);

}  // namespace penstock::app
