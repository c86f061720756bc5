#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace penstock::proxy {

/// Workers that paused accepting until something is freed. Setting and taking a mark is lock-free;
/// any thread. Whoever frees a slot or a descriptor takes one mark and wakes that worker.
class WaitingWorkers {
public:
    explicit WaitingWorkers(std::size_t workers) : marks_(workers) {}

    void mark(std::size_t worker) noexcept {
        if (!marks_[worker].exchange(true)) count_.fetch_add(1);
    }
    void unmark(std::size_t worker) noexcept {
        if (marks_[worker].exchange(false)) count_.fetch_sub(1);
    }
    /// The next marked worker, round robin, or nothing. Costs one load while nobody waits.
    [[nodiscard]] std::optional<std::size_t> take_one() noexcept {
        if (count_.load(std::memory_order_relaxed) == 0) return std::nullopt;
        const std::size_t first = next_.fetch_add(1, std::memory_order_relaxed);
        for (std::size_t i = 0; i < marks_.size(); ++i) {
            const std::size_t worker = (first + i) % marks_.size();
            if (!marks_[worker].exchange(false)) continue;
            count_.fetch_sub(1);
            return worker;
        }
        return std::nullopt;
    }

private:
    std::vector<std::atomic<bool>> marks_;
    std::atomic<std::size_t> count_{0};
    std::atomic<std::size_t> next_{0};
};

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

private:
    friend class SlotLimiter;
    explicit Permit(SlotLimiter* limiter) noexcept : limiter_(limiter) {}
    SlotLimiter* limiter_ = nullptr;
};

/// Counts what is in use over all workers, and never lets it exceed the limit. Any thread.
class SlotLimiter {
public:
    /// `limit` 0 = only count.
    explicit SlotLimiter(std::uint64_t limit) noexcept : limit_(limit) {}
    SlotLimiter(const SlotLimiter&) = delete;
    SlotLimiter& operator=(const SlotLimiter&) = delete;
    ~SlotLimiter() { assert(used() == 0); }

    /// An empty permit when all slots are taken.
    [[nodiscard]] Permit try_acquire() noexcept {
        if (limit_ == 0) {
            used_.fetch_add(1, std::memory_order_relaxed);
            return Permit(this);
        }
        std::uint64_t used = used_.load(std::memory_order_relaxed);
        do {
            if (used >= limit_) return {};
        } while (!used_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed));
        return Permit(this);
    }

    [[nodiscard]] std::uint64_t used() const noexcept {
        return used_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }
    [[nodiscard]] bool full() const noexcept { return limit_ != 0 && used() >= limit_; }

private:
    friend class Permit;
    const std::uint64_t limit_;
    alignas(64) std::atomic<std::uint64_t> used_{0};
};

inline void Permit::release() noexcept {
    if (auto* limiter = std::exchange(limiter_, nullptr))
        limiter->used_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace penstock::proxy
