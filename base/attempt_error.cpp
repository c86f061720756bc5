#include "base/attempt_error.hpp"

#include <array>
#include <utility>

namespace penstock {

std::string_view name_of(AttemptError error) noexcept {
    static constexpr std::array<std::string_view, attempt_error_count> names{
        "", "refused", "timeout", "unreachable", "reset", "no_port", "no_fd", "tls", "other"};
    return names[std::to_underlying(error)];
}

}  // namespace penstock
