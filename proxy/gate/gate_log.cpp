#include "proxy/gate/gate_log.hpp"

#include <string>
#include <utility>

namespace penstock::proxy {

namespace {

std::string_view name_of(GateLog::Event event) noexcept {
    switch (event) {
        case GateLog::Event::refuses: return "refusing";
        case GateLog::Event::would_refuse: return "dry run, would refuse";
        case GateLog::Event::waits: return "accepting pauses";
    }
    std::unreachable();
}

std::string cause_of(CloseReason reason, const config::Listener& listener) {
    switch (reason) {
        case CloseReason::denied: return "allow, deny or their files";
        case CloseReason::limit_source:
            return fmt::format("max_connections_per_source = {}",
                               listener.max_connections_per_source);
        case CloseReason::rate_source: return "over accept_rate_per_source";
        case CloseReason::rate_listener: return "over accept_rate";
        case CloseReason::limit_listener:
            return fmt::format("max_connections = {}", listener.max_connections);
        case CloseReason::overload: return "process.memory_limit";
        default: return "max_connections of the process";
    }
}

}  // namespace

std::optional<std::string> GateLog::report(Logger& log, const config::Listener& listener,
                                           Event event, CloseReason reason,
                                           const CompactEndpoint& peer, TimePoint now) {
    auto& throttle = throttles_[std::to_underlying(event)][std::to_underlying(reason)];
    const auto left_out = throttle.admit(now, interval);
    if (!left_out) return std::nullopt;
    const std::string who = peer.empty() ? std::string() : ", client " + peer.to_string();
    std::string text =
        fmt::format("{}: {} ({}){} ({} more since the last message)", name_of(event),
                    penstock::name_of(reason), cause_of(reason, listener), who, *left_out);
    log.warn("listener {}: {}", listener.name, text);
    return text;
}

}  // namespace penstock::proxy
