#pragma once

#include <atomic>
#include <cstdint>

namespace penstock::proxy {

enum class MemoryPressure : std::uint8_t {
    none,
    tight,  // what lives goes on, without more buffers for blocked writes
    overload,  // and new connections are refused
};

/// Decides by the memory in use when load is shed, so that the limit is not reached. Each level is
/// left later than it was entered, so that it does not flap. No clock, no files.
class MemoryGuard {
public:
    // Percent of the limit.
    static constexpr std::uint64_t overload_from = 95;
    static constexpr std::uint64_t overload_below = 90;
    static constexpr std::uint64_t tight_from = 85;
    static constexpr std::uint64_t tight_below = 80;

    /// In bytes; 0 = there is none, and no pressure.
    void set_limit(std::uint64_t limit) noexcept { limit_ = limit; }
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

    /// So many bytes are in use now.
    MemoryPressure observe(std::uint64_t used) noexcept;
    [[nodiscard]] MemoryPressure pressure() const noexcept { return pressure_; }

private:
    [[nodiscard]] bool is_at(std::uint64_t used, std::uint64_t percent) const noexcept;

    std::uint64_t limit_ = 0;
    MemoryPressure pressure_ = MemoryPressure::none;
};

/// What the guard says, for all threads.
struct MemoryState {
    std::atomic<std::uint64_t> limit{0};  // bytes; 0 = none
    std::atomic<MemoryPressure> pressure{MemoryPressure::none};

    [[nodiscard]] bool overload() const noexcept {
        return pressure.load(std::memory_order_relaxed) == MemoryPressure::overload;
    }
};

}  // namespace penstock::proxy
