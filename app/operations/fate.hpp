#pragma once

#include <cstdint>
#include <string>

#include "base/close_reason.hpp"
#include "config/upstream.hpp"

namespace penstock::app {

/// What decides now over a client that has come to its upstream. Pure values.
struct Situation {
    const config::Upstream& upstream;
    bool paused = false;
    bool any_available = false;  // for the role asked for
    bool any_room = false;       // one of them can be chosen
    std::uint64_t connections = 0;  // of the upstream, if all it may have are taken; else 0
    std::uint64_t queued = 0;
    std::uint64_t held = 0;
};

/// What becomes of the client: a word (`served`, `queued`, `held`, `waits`, `refused`) and, unless
/// it is served, a clause.
struct Fate {
    std::string outcome;
    std::string text;
};

/// At its listener. `reason`: of the gate; none = it enters. `waits`: the listener does not refuse
/// where limits of all of it are reached, but stops accepting.
[[nodiscard]] Fate fate_at_listener(CloseReason reason, bool waits);
/// Behind it, as Setup carries it out.
[[nodiscard]] Fate fate_at_upstream(const Situation& now);

}  // namespace penstock::app
