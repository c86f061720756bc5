#include "net/buffer_pool.hpp"

#include <algorithm>
#include <cassert>

namespace penstock::net {

void Buffer::assign(std::span<const std::byte> bytes) noexcept {
    assert(bytes.size() <= capacity_);
    std::ranges::copy(bytes, data_.get());
    begin_ = 0;
    end_ = bytes.size();
}

Buffer* BufferPool::take(std::size_t size) {
    assert(size <= large);
    if (!has_room_for(size)) return nullptr;
    const std::size_t capacity = capacity_for(size);
    in_use_ += capacity;
    auto& ready = idle(capacity);
    if (ready.empty()) return new Buffer(capacity);
    Buffer* buffer = ready.back().release();
    ready.pop_back();
    return buffer;
}

void BufferPool::give_back(Buffer* buffer) noexcept {
    std::unique_ptr<Buffer> owned(buffer);
    in_use_ -= owned->capacity();
#ifndef PENSTOCK_NO_POOLS
    auto& ready = idle(owned->capacity());
    if (ready.size() < max_idle && !squeezed_) ready.push_back(std::move(owned));
#endif
}

void BufferPool::squeeze(bool on) noexcept {
    if (on && !squeezed_) squeezed_cap_ = std::min(in_use_, cap_);
    squeezed_ = on;
    if (!on) return;
    idle_small_.clear();
    idle_large_.clear();
}

}  // namespace penstock::net
