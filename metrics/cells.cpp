#include "metrics/cells.hpp"

namespace penstock::metrics {

std::string_view name_of(AcceptError error) noexcept {
    static constexpr std::array<std::string_view, accept_error_count> names{
        "no_fd", "no_memory", "aborted", "broken", "other"};
    return names[std::to_underlying(error)];
}

std::string_view name_of(WarmResult result) noexcept {
    static constexpr std::array<std::string_view, warm_result_count> names{"hit", "miss", "expired",
                                                                           "dead"};
    return names[std::to_underlying(result)];
}

std::string_view name_of(Handshake result) noexcept {
    static constexpr std::array<std::string_view, handshake_count> names{"full", "resumed",
                                                                         "failed", "timeout"};
    return names[std::to_underlying(result)];
}

std::string_view name_of(CircuitCause cause) noexcept {
    static constexpr std::array<std::string_view, circuit_cause_count> names{
        "consecutive_failures", "failure_rate", "trial_failed"};
    return names[std::to_underlying(cause)];
}

}  // namespace penstock::metrics
