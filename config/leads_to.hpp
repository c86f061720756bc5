#pragma once

#include <string>

#include "config/listener.hpp"

namespace penstock::config {

/// Clients of the listener may come to that upstream asking for that role: by what the listener
/// itself says, by one of its server names or by one of its routes. Pure.
[[nodiscard]] bool leads_to(const Listener& listener, const std::string& upstream, Role role);

/// Some that come there have asked for TLS in the words of a protocol first (starttls).
[[nodiscard]] bool leads_starttls_to(const Listener& listener, const std::string& upstream);

}  // namespace penstock::config
