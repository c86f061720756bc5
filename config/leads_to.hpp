#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/listener.hpp"

namespace penstock::config {

/// Clients of the listener may come to that upstream asking for that role: by what the listener
/// itself says, by one of its server names or by one of its routes. Pure.
[[nodiscard]] bool leads_to(const Listener& listener, const std::string& upstream, Role role);

/// An upstream that clients of a listener may get to.
struct Destination {
    std::string_view upstream;
    Role role;         // asked of its backends
    std::string part;  // `route[2]`, "" = the listener itself
    std::string key;   // in that part
};
/// Each way to each upstream, of the names of [listener.sni] one per upstream.
[[nodiscard]] std::vector<Destination> destinations(const Listener& listener);

/// Some that come there have asked for TLS in the words of a protocol first (starttls).
[[nodiscard]] bool leads_starttls_to(const Listener& listener, const std::string& upstream);

}  // namespace penstock::config
