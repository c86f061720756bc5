#pragma once

#include "app/assembly.hpp"
#include "app/control_loop.hpp"
#include "net/logger.hpp"

namespace penstock::app {

/// Runs the loop until the first verdicts of health are there; where the process before this one
/// waits for it, half a minute at most. False: a signal to stop came first. What other signals ask
/// for is done now, or by whoever takes signals next.
[[nodiscard]] bool await_verdicts(ControlLoop& loop, Assembly& proxy, net::ProcessLog& log,
                                  bool takes_over);

}  // namespace penstock::app
