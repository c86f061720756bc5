#include "app/operations/events.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace penstock::app {

namespace {

struct Words {
    health::EventKind kind;
    std::string_view name;
    std::string_view from;
    std::string_view to;
};

using enum health::EventKind;

constexpr std::string_view by_origin;

constexpr std::array<Words, health::event_kind_count> table{{
    {check_up, "check", "down", "up"},
    {check_down, "check", "up", "down"},
    {circuit_opened, "circuit", "", "open"},
    {circuit_half_open, "circuit", "open", "half_open"},
    {circuit_closed, "circuit", "half_open", "closed"},
    {circuit_would_open, "circuit", "closed", "closed"},
    {circuit_kept_closed, "circuit", "closed", "closed"},
    {role_changed, "role", "", ""},
    {role_conflict, "role", "", "conflict"},
    {conflict_ended, "role", "conflict", ""},
    {panic_began, "panic", "", "panic"},
    {panic_ended, "panic", "panic", ""},
    {none_available, "availability", "available", "none"},
    {available_again, "availability", "none", "available"},
    {sessions_ended, "drain", "", ""},
    {backend_added, by_origin, "", "added"},
    {backend_left, by_origin, "", "removed"},
    {source_failed, by_origin, "", "failed"},
    {source_works, by_origin, "failed", "ok"},
}};

constexpr bool in_order() {
    for (std::size_t i = 0; i < table.size(); ++i)
        if (std::to_underlying(table[i].kind) != i) return false;
    return true;
}
static_assert(in_order(), "rows stand in the order of the enumeration");

std::string_view name_of(health::Origin origin) {
    switch (origin) {
        case health::Origin::listed: return "reload";
        case health::Origin::file: return "file";
        case health::Origin::name: break;
    }
    return "dns";
}

}  // namespace

admin::Event event_of(const std::string& upstream, const health::Event& event) {
    const Words& words = table[std::to_underlying(event.kind)];
    return {.kind = std::string(words.name.empty() ? name_of(event.origin) : words.name),
            .upstream = upstream,
            .backend = event.backend,
            .from = event.from.empty() ? std::string(words.from) : event.from,
            .to = event.to.empty() ? std::string(words.to) : event.to,
            .detail = event.text};
}

}  // namespace penstock::app
