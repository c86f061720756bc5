#pragma once

#include <cstdint>
#include <string_view>

namespace penstock::config {

/// What a changed value means for the proxy that runs.
enum class Effect : std::uint8_t {
    as_around,        // as the table around it says; never the effect of a change
    at_once,          // for connections that live, too
    new_connections,  // those that live keep the old value
    next_drain,       // drains that run keep the old value
    next_stop,
    next_upgrade,
    restart,  // the running value stays until then
    listens,
    refuses_new,   // nothing arrives there any more, what lives goes on
    keeps_shared,  // a list of addresses: the sockets of those in both stay
    drains,
    replaces,  // another server under the same name
};

/// In a few words, for people: `new connections only`, `needs a restart`.
[[nodiscard]] std::string_view to_string(Effect effect);

}  // namespace penstock::config
