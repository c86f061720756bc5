#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <utility>

namespace penstock::balancer {

class SlotLimiter;

/// One slot of a SlotLimiter; given back when destroyed. Move-only; may be given back on a thread
/// other than the one that took it.
class [[nodiscard]] Permit {
public:
    Permit() = default;
    Permit(Permit&& other) noexcept : limiter_(std::exchange(other.limiter_, nullptr)) {}
    Permit& operator=(Permit&& other) noexcept {
        if (this != &other) {
            release();
            limiter_ = std::exchange(other.limiter_, nullptr);
        }
        return *this;
    }
    ~Permit() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return limiter_ != nullptr; }
    void release() noexcept;
    /// Lets the caller keep the slot in books of its own; SlotLimiter::give_back() returns it. True
    /// if there was one.
    [[nodiscard]] bool keep() noexcept { return std::exchange(limiter_, nullptr) != nullptr; }

private:
    friend class SlotLimiter;
    explicit Permit(SlotLimiter* limiter) noexcept : limiter_(limiter) {}
    SlotLimiter* limiter_ = nullptr;
};

/// Counts what is in use over all workers, and never lets it exceed the limit. Any thread.
/// Sequentially consistent: who queues and then sees no free slot is seen by whoever frees one.
class SlotLimiter {
public:
    /// `limit` 0 = only count.
    explicit SlotLimiter(std::uint64_t limit) noexcept : limit_(limit) {}
    SlotLimiter(const SlotLimiter&) = delete;
    SlotLimiter& operator=(const SlotLimiter&) = delete;
    ~SlotLimiter() { assert(used() == 0); }

    /// An empty permit when all slots are taken.
    [[nodiscard]] Permit try_acquire() noexcept {
        const std::uint64_t limit = limit_.load(std::memory_order_relaxed);
        if (limit == 0) {
            used_.fetch_add(1, std::memory_order_relaxed);
            return Permit(this);
        }
        std::uint64_t used = used_.load();
        do {
            if (used >= limit) return {};
        } while (!used_.compare_exchange_weak(used, used + 1));
        return Permit(this);
    }

    /// Returns a slot of a permit that was kept.
    void give_back() noexcept { used_.fetch_sub(1); }

    [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(); }
    [[nodiscard]] std::uint64_t limit() const noexcept {
        return limit_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] bool full() const noexcept {
        const std::uint64_t limit = this->limit();
        return limit != 0 && used() >= limit;
    }
    /// From now on. Below what is in use nothing is taken away, only given out again later. Whoever
    /// raises it wakes those that wait for a slot.
    void set_limit(std::uint64_t limit) noexcept { limit_.store(limit); }

private:
    friend class Permit;
    // Beside each other: whoever asks for one needs the other.
    alignas(64) std::atomic<std::uint64_t> used_{0};
    std::atomic<std::uint64_t> limit_;
};

inline void Permit::release() noexcept {
    if (auto* limiter = std::exchange(limiter_, nullptr)) limiter->give_back();
}

}  // namespace penstock::balancer
