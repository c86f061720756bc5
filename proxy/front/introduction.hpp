#pragma once

#include <cstdint>
#include <string>

#include "base/attempt_error.hpp"
#include "base/clock.hpp"
#include "net/task.hpp"

namespace penstock::proxy {

class Session;

/// How one attempt to reach a backend ended.
struct AttemptResult {
    AttemptError error = AttemptError::none;
    int number = 0;  // the errno, 0 = none
    [[nodiscard]] bool ok() const noexcept { return error == AttemptError::none; }
};
[[nodiscard]] AttemptResult attempt_result(int error) noexcept;

/// The upstream wants more on a fresh connection than the client's bytes.
[[nodiscard]] bool needs_introduction(Session& session) noexcept;

/// What comes before the client's bytes on the session's connection to its backend: a PROXY header,
/// the request for TLS that the client made, a handshake. Until `deadline`; the session may be
/// aborted meanwhile.
[[nodiscard]] net::Task<AttemptResult> introduce(Session& session, TimePoint deadline);

}  // namespace penstock::proxy
