#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/timing_wheel.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

/// A pipe between two sockets, for splice(2). Knows how full it is by what its users report.
class Pipe {
public:
    Pipe(UniqueFd read_end, UniqueFd write_end, std::size_t capacity) noexcept
        : read_end_(std::move(read_end)), write_end_(std::move(write_end)), capacity_(capacity) {}

    [[nodiscard]] int read_end() const noexcept { return read_end_.get(); }
    [[nodiscard]] int write_end() const noexcept { return write_end_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::size_t room() const noexcept { return capacity_ - size_; }
    void filled(std::size_t n) noexcept { size_ += n; }
    void emptied(std::size_t n) noexcept { size_ -= n; }

private:
    UniqueFd read_end_;
    UniqueFd write_end_;
    std::size_t capacity_;  // as the kernel granted it
    std::size_t size_ = 0;
};

/// A worker's pipes: bounded, one idle one kept, further idle ones closed within a second.
/// One owner thread; every pipe is given back before the pool is destroyed.
class PipePool final : private Timer {
public:
    static constexpr std::size_t max_pipes = 64;
    static constexpr std::size_t wanted_capacity = 256 * 1024;
    static constexpr Duration idle_time = std::chrono::seconds(1);

    explicit PipePool(TimingWheel& wheel) noexcept : wheel_(wheel) {}
    ~PipePool();

    /// Nothing when all are taken or the system refuses one: the caller keeps copying.
    [[nodiscard]] Pipe* take();
    /// A pipe that still holds bytes is closed, never reused.
    void give_back(Pipe* pipe, TimePoint now) noexcept;

    [[nodiscard]] std::size_t open() const noexcept { return open_; }

private:
    void on_timer(TimePoint now) override;

    TimingWheel& wheel_;
    std::vector<std::unique_ptr<Pipe>> idle_;
    std::size_t open_ = 0;
};

}  // namespace penstock::net
