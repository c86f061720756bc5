#pragma once

#include <atomic>
#include <cstdint>

namespace penstock::metrics {

/// A counter with one writer thread and any number of readers. An increment is a plain addition: no
/// lock, no locked instruction.
class Counter {
public:
    void add(std::uint64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// How much there is of something: as a Counter, and it goes down again.
class Gauge {
public:
    void add() noexcept { move(1); }
    void remove() noexcept { move(std::uint64_t{0} - 1); }
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

private:
    void move(std::uint64_t by) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }
    std::atomic<std::uint64_t> value_{0};
};

}  // namespace penstock::metrics
