#pragma once

#include <expected>
#include <functional>
#include <string>

namespace penstock::app::sandbox {

/// The signal by which threads are asked; block_signals() leaves it open.
[[nodiscard]] int every_thread_signal() noexcept;

/// Does something in every thread of the process, whoever has made it, because the kernel keeps
/// privileges by thread. In all threads but the caller's it runs in a signal handler: it may make
/// system calls, and nothing else. It returns 0 or an errno. The caller must be the one thread that
/// makes others. The error is a sentence; some threads may have done it then.
[[nodiscard]] std::expected<void, std::string> on_every_thread(const std::function<int()>& action);

}  // namespace penstock::app::sandbox
