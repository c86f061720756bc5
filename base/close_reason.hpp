#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace penstock {

/// Why a connection ended: the one vocabulary of access log, counters and API. Every accepted
/// connection ends with exactly one.
enum class CloseReason : std::uint8_t {
    none,  // still open
    completed,
    client_reset,
    client_lost,
    client_gone,
    backend_reset,
    backend_lost,
    connect_failed,
    no_backend,
    backend_down,
    role_changed,
    queue_full,
    queue_timeout,
    idle_timeout,
    half_closed_timeout,
    lifetime,
    limit_process,
    limit_listener,
    limit_source,
    rate_listener,
    rate_source,
    denied,
    overload,
    internal,
    no_route,
    drained,
    backend_removed,
    rebalanced,
    killed,
    proxy_header_invalid,
    proxy_header_timeout,
    proxy_header_untrusted,
    client_hello_invalid,
    client_hello_timeout,
    tls_failed,
    tls_timeout,
    tls_client_cert,
    tls_unknown_name,
};
inline constexpr std::size_t close_reason_count = 38;

/// Some of the reasons.
class ReasonSet {
public:
    void add(CloseReason reason) noexcept { bits_ |= bit(reason); }
    [[nodiscard]] bool contains(CloseReason reason) const noexcept {
        return (bits_ & bit(reason)) != 0;
    }
    [[nodiscard]] bool empty() const noexcept { return bits_ == 0; }
    /// In the order of the enumeration.
    template <typename F>
    void for_each(F function) const {
        for (std::uint64_t left = bits_; left != 0; left &= left - 1)
            function(static_cast<CloseReason>(std::countr_zero(left)));
    }
    friend bool operator==(const ReasonSet&, const ReasonSet&) = default;

private:
    static constexpr std::uint64_t bit(CloseReason reason) noexcept {
        return std::uint64_t{1} << static_cast<unsigned>(reason);
    }
    std::uint64_t bits_ = 0;
};
static_assert(close_reason_count <= 64);

/// Who has to look at it; a function of the reason.
enum class CloseClass : std::uint8_t { ok, client, backend, policy, proxy, op };
inline constexpr std::size_t close_class_count = 6;

enum class ClosedBy : std::uint8_t { none, client, backend, proxy };

[[nodiscard]] std::string_view name_of(CloseReason reason) noexcept;
[[nodiscard]] std::string_view name_of(CloseClass value) noexcept;
[[nodiscard]] std::string_view name_of(ClosedBy value) noexcept;
[[nodiscard]] CloseClass class_of(CloseReason reason) noexcept;
/// True for reasons that end a connection before it had a backend, by decision of the proxy:
/// the access log limits these under a flood.
[[nodiscard]] bool is_refusal(CloseReason reason) noexcept;

}  // namespace penstock
