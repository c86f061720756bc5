#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace penstock {

std::error_code last_error() noexcept { return {errno, std::system_category()}; }

std::unexpected<std::error_code> unexpected_errno() noexcept {
    return std::unexpected(last_error());
}

std::string_view errno_name(int error) noexcept {
    if (error == 0) return "";
    const char* name = ::strerrorname_np(error);
    return name != nullptr ? name : "errno";
}

}  // namespace penstock
