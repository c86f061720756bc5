#include "app/operations/fate.hpp"

#include <string_view>

#include <fmt/format.h>

#include "app/with_commas.hpp"
#include "config/value.hpp"

namespace penstock::app {

namespace {

Fate refused(std::string_view why, CloseReason reason) {
    return {"refused", fmt::format("{}refused now: {}", why, name_of(reason))};
}

Fate hold(const Situation& now, std::string_view why) {
    const auto& hold = now.upstream.hold;
    if (hold.max_length == 0) return refused(fmt::format("{}: ", why), CloseReason::no_backend);
    if (now.held >= hold.max_length)
        return refused(
            fmt::format("{}, and {} clients are held already: ", why, with_commas(hold.max_length)),
            CloseReason::no_backend);
    return {"held", fmt::format("{}: the client is held, at most {}", why,
                                config::format_duration(hold.timeout))};
}

Fate queue(const Situation& now, std::string_view why) {
    const auto& queue = now.upstream.queue;
    if (queue.max_length == 0)
        return refused(fmt::format("{}, and there is no queue: ", why), CloseReason::queue_full);
    if (now.queued >= queue.max_length)
        return refused(
            fmt::format("{}, and {} clients queue already: ", why, with_commas(queue.max_length)),
            CloseReason::queue_full);
    return {"queued", fmt::format("{}: the client queues, at most {}", why,
                                  config::format_duration(queue.timeout))};
}

}  // namespace

Fate fate_at_listener(CloseReason reason, bool waits) {
    switch (reason) {
        case CloseReason::none: return {"served", ""};
        case CloseReason::rate_listener:
        case CloseReason::limit_listener:
        case CloseReason::limit_process:
            if (waits)
                return {"waits", fmt::format("the listener accepts nobody now ({}): the client "
                                             "waits in the kernel's queue",
                                             name_of(reason))};
            return refused("", reason);
        case CloseReason::denied: return refused("the listener's allow and deny lists: ", reason);
        case CloseReason::overload: return refused("memory is short: ", reason);
        default: return refused("", reason);
    }
}

Fate fate_at_upstream(const Situation& now) {
    if (now.paused) return hold(now, "the upstream is paused");
    if (!now.any_available) {
        if (now.upstream.no_backend == config::NoBackend::hold)
            return hold(now, "no backend is available");
        return refused("no backend is available: ", CloseReason::no_backend);
    }
    if (now.connections != 0)
        return queue(
            now, fmt::format("the upstream has its {} connections", with_commas(now.connections)));
    if (!now.any_room) return queue(now, "no available backend has room");
    return {"served", ""};
}

}  // namespace penstock::app
