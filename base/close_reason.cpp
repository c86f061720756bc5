#include "base/close_reason.hpp"

#include <utility>

namespace penstock {

namespace {

struct Row {
    CloseReason reason;
    std::string_view name;
    CloseClass in_class;
    bool refusal;
};

using enum CloseClass;

constexpr std::array<Row, close_reason_count> table{{
    {CloseReason::none, "none", ok, false},
    {CloseReason::completed, "completed", ok, false},
    {CloseReason::client_reset, "client_reset", client, false},
    {CloseReason::client_lost, "client_lost", client, false},
    {CloseReason::client_gone, "client_gone", client, false},
    {CloseReason::backend_reset, "backend_reset", backend, false},
    {CloseReason::backend_lost, "backend_lost", backend, false},
    {CloseReason::connect_failed, "connect_failed", backend, false},
    {CloseReason::no_backend, "no_backend", backend, true},
    {CloseReason::backend_down, "backend_down", backend, false},
    {CloseReason::role_changed, "role_changed", op, false},
    {CloseReason::queue_full, "queue_full", proxy, true},
    {CloseReason::queue_timeout, "queue_timeout", proxy, true},
    {CloseReason::idle_timeout, "idle_timeout", policy, false},
    {CloseReason::half_closed_timeout, "half_closed_timeout", policy, false},
    {CloseReason::lifetime, "lifetime", policy, false},
    {CloseReason::limit_process, "limit_process", proxy, true},
    {CloseReason::limit_listener, "limit_listener", policy, true},
    {CloseReason::limit_source, "limit_source", policy, true},
    {CloseReason::rate_listener, "rate_listener", policy, true},
    {CloseReason::rate_source, "rate_source", policy, true},
    {CloseReason::denied, "denied", policy, true},
    {CloseReason::overload, "overload", proxy, true},
    {CloseReason::internal, "internal", proxy, false},
    {CloseReason::no_route, "no_route", policy, true},
    {CloseReason::drained, "drained", op, false},
    {CloseReason::backend_removed, "backend_removed", op, false},
    {CloseReason::rebalanced, "rebalanced", op, false},
    {CloseReason::killed, "killed", op, false},
    {CloseReason::proxy_header_invalid, "proxy_header_invalid", client, true},
    {CloseReason::proxy_header_timeout, "proxy_header_timeout", client, true},
    {CloseReason::proxy_header_untrusted, "proxy_header_untrusted", client, true},
    {CloseReason::client_hello_invalid, "client_hello_invalid", client, true},
    {CloseReason::client_hello_timeout, "client_hello_timeout", client, true},
    {CloseReason::tls_failed, "tls_failed", client, true},
    {CloseReason::tls_timeout, "tls_timeout", client, true},
    {CloseReason::tls_client_cert, "tls_client_cert", client, true},
    {CloseReason::tls_unknown_name, "tls_unknown_name", client, true},
}};

constexpr bool in_order() {
    for (std::size_t i = 0; i < table.size(); ++i)
        if (std::to_underlying(table[i].reason) != i) return false;
    return true;
}
static_assert(in_order(), "rows stand in the order of the enumeration");

const Row& row(CloseReason reason) noexcept { return table[std::to_underlying(reason)]; }

}  // namespace

std::string_view name_of(CloseReason reason) noexcept { return row(reason).name; }
CloseClass class_of(CloseReason reason) noexcept { return row(reason).in_class; }
bool is_refusal(CloseReason reason) noexcept { return row(reason).refusal; }

std::string_view name_of(CloseClass value) noexcept {
    static constexpr std::array<std::string_view, 6> names{"ok",     "client", "backend",
                                                           "policy", "proxy",  "operator"};
    return names[std::to_underlying(value)];
}

std::string_view name_of(ClosedBy value) noexcept {
    static constexpr std::array<std::string_view, 4> names{"", "client", "backend", "proxy"};
    return names[std::to_underlying(value)];
}

}  // namespace penstock
