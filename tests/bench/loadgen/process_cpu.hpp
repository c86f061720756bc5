#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

namespace penstock::bench {

/// CPU time that some processes and their descendants have used since they started.
struct CpuTime {
    std::uint64_t total_ns = 0;  ///< from the scheduler's clock, exact
    /// The kernel's sampled split, in clock ticks: only the proportion is meaningful over short
    /// spans.
    std::uint64_t user_ticks = 0;
    std::uint64_t system_ticks = 0;

    friend CpuTime operator-(const CpuTime& a, const CpuTime& b) {
        return {a.total_ns - b.total_ns, a.user_ticks - b.user_ticks,
                a.system_ticks - b.system_ticks};
    }
};

/// Sums over `roots`, their threads (ended ones too), their living descendants and those already
/// waited for. A process that ends while this reads may be missed.
[[nodiscard]] CpuTime cpu_time_of(std::span<const pid_t> roots);

}  // namespace penstock::bench
