#pragma once

#include <csignal>

/// Signals that the process sends to its own threads. block_signals() leaves them open, and nothing
/// else may take them.
namespace penstock::app {

/// Asks a thread to do something (sandbox/every_thread.hpp).
[[nodiscard]] inline int every_thread_signal() noexcept { return SIGRTMAX; }
/// Asks a thread where it stands (operations/stack_probe.hpp).
[[nodiscard]] inline int stack_probe_signal() noexcept { return SIGRTMAX - 1; }

}  // namespace penstock::app
