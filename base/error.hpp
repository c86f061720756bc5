#pragma once

#include <expected>
#include <string_view>
#include <system_error>

namespace penstock {

template <typename T>
using Result = std::expected<T, std::error_code>;

/// The calling thread's errno as an error_code. Call before anything else can change errno.
[[nodiscard]] std::error_code last_error() noexcept;
[[nodiscard]] std::unexpected<std::error_code> unexpected_errno() noexcept;

/// `ECONNREFUSED` for 111; "" for 0 and `errno` for numbers the C library does not know.
[[nodiscard]] std::string_view errno_name(int error) noexcept;

}  // namespace penstock
