#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>

/// What the kernel says about a running process.
namespace penstock::test {

[[nodiscard]] std::size_t descriptors_of(pid_t pid);
[[nodiscard]] std::size_t threads_of(pid_t pid);
/// CPU time of all its live threads.
[[nodiscard]] std::chrono::nanoseconds cpu_of(pid_t pid);
/// What the scheduler has given one thread so far: time on a CPU, and time without although it was
/// ready to run.
struct CpuTime {
    std::chrono::nanoseconds ran{};
    std::chrono::nanoseconds waited{};
};
[[nodiscard]] CpuTime time_of(pid_t process, pid_t thread);
/// Whether the kernel has stopped all its threads: a signal takes its time.
[[nodiscard]] bool is_stopped(pid_t pid);
/// Private memory in bytes (smaps_rollup: Private_Clean + Private_Dirty).
[[nodiscard]] std::uint64_t private_memory_of(pid_t pid);

}  // namespace penstock::test
