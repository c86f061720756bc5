#pragma once

#include <chrono>
#include <exception>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>

#include "base/clock.hpp"

namespace penstock::net {

/// What coroutines on an io_context wait with: errors are values. GCC 12 wants the operation named
/// before it is awaited, if destroying it does anything.
inline constexpr auto as_result = boost::asio::as_tuple(boost::asio::deferred);

/// A moment as Asio's timers take it; no_deadline is their own end of time.
[[nodiscard]] constexpr std::chrono::steady_clock::time_point to_asio(TimePoint time) noexcept {
    return std::chrono::steady_clock::time_point(time.time_since_epoch());
}
static_assert(to_asio(no_deadline) == std::chrono::steady_clock::time_point::max());

/// The completion handler of coroutines that nobody waits for: an exception leaves run(), it is
/// never swallowed.
inline void rethrow_failure(std::exception_ptr error) {
    if (error) std::rethrow_exception(std::move(error));
}

}  // namespace penstock::net
