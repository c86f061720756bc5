#pragma once

#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "net/task.hpp"
#include "proxy/attempt.hpp"

namespace penstock::proxy {

class Session;

/// The upstream wants more on a fresh connection than the client's bytes.
[[nodiscard]] bool needs_introduction(Session& session) noexcept;

/// What comes before the client's bytes on the session's connection to its backend: a PROXY header,
/// the request for TLS that the client made, a handshake. Until `deadline`; the session may be
/// aborted meanwhile.
[[nodiscard]] net::Task<AttemptResult> introduce(Session& session, TimePoint deadline);

}  // namespace penstock::proxy
