#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
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
    /// The next marked worker, round robin, or nothing. Costs one load while nobody waits.
    [[nodiscard]] std::optional<std::size_t> take_one() noexcept {
        if (count_.load() == 0) return std::nullopt;
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

}  // namespace penstock::proxy
