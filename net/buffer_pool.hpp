#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace penstock::net {

/// A buffer for what a blocked write left over: bytes [begin, end) wait to be sent.
class Buffer {
public:
    explicit Buffer(std::size_t capacity)
        : data_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {}

    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] std::span<const std::byte> pending() const noexcept {
        return {data_.get() + begin_, end_ - begin_};
    }
    /// Replaces the contents; `bytes` must fit.
    void assign(std::span<const std::byte> bytes) noexcept;
    void consume(std::size_t n) noexcept { begin_ += n; }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t capacity_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

/// A worker's buffers, in two sizes, with a cap on the bytes in use. A few idle ones are kept.
/// One owner thread; every buffer is given back before the pool is destroyed.
class BufferPool {
public:
    static constexpr std::size_t small = 16 * 1024;
    static constexpr std::size_t large = 64 * 1024;
    static constexpr std::size_t max_idle = 16;  // of each size

    explicit BufferPool(std::size_t cap_bytes) noexcept : cap_(cap_bytes) {}
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    /// A buffer for `size` bytes (at most `large`); nothing at the cap.
    [[nodiscard]] Buffer* take(std::size_t size);
    void give_back(Buffer* buffer) noexcept;

    /// On: no more bytes in use than now, and no idle buffers, until it is off.
    void squeeze(bool on) noexcept;

    /// True if take(size) would succeed now.
    [[nodiscard]] bool has_room_for(std::size_t size) const noexcept {
        return in_use_ + capacity_for(size) <= (squeezed_ ? squeezed_cap_ : cap_);
    }
    [[nodiscard]] std::size_t bytes_in_use() const noexcept { return in_use_; }

private:
    static constexpr std::size_t capacity_for(std::size_t size) noexcept {
        return size <= small ? small : large;
    }
    [[nodiscard]] std::vector<std::unique_ptr<Buffer>>& idle(std::size_t capacity) noexcept {
        return capacity == small ? idle_small_ : idle_large_;
    }

    std::size_t cap_;
    std::size_t in_use_ = 0;
    bool squeezed_ = false;
    std::size_t squeezed_cap_ = 0;
    std::vector<std::unique_ptr<Buffer>> idle_small_;
    std::vector<std::unique_ptr<Buffer>> idle_large_;
};

}  // namespace penstock::net
