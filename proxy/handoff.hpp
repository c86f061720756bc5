#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::proxy {

/// Sessions per worker, fresh ones on their way to it included; or other things that each worker
/// has some of. Any thread.
class WorkerLoads {
public:
    explicit WorkerLoads(std::size_t workers) : cells_(workers) {}

    void add(std::size_t worker) noexcept { cells_[worker].sessions.fetch_add(1); }
    void remove(std::size_t worker) noexcept { cells_[worker].sessions.fetch_sub(1); }
    [[nodiscard]] std::uint32_t at(std::size_t worker) const noexcept {
        return cells_[worker].sessions.load();
    }
    [[nodiscard]] std::size_t size() const noexcept { return cells_.size(); }

private:
    struct alignas(64) Cell {
        std::atomic<std::uint32_t> sessions{0};
    };
    std::vector<Cell> cells_;
};

/// Which worker serves a connection that `self` has accepted: itself, unless it has clearly more
/// than its share (a quarter above the mean and at least eight more), then the least loaded one.
/// The kernel's hash over SO_REUSEPORT sockets spreads few long connections unevenly.
[[nodiscard]] inline std::size_t choose_worker(std::size_t self,
                                               const WorkerLoads& loads) noexcept {
    constexpr std::uint64_t slack = 8;
    if (loads.size() == 1) return self;
    std::uint64_t sum = 0;
    std::size_t least = self;
    for (std::size_t i = 0; i < loads.size(); ++i) {
        sum += loads.at(i);
        if (loads.at(i) < loads.at(least)) least = i;
    }
    const std::uint64_t own = loads.at(self);
    const bool above = own * loads.size() * 4 > sum * 5;
    return above && own >= loads.at(least) + slack ? least : self;
}

}  // namespace penstock::proxy
