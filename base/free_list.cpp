#include "base/free_list.hpp"

#include <array>
#include <new>
#include <utility>

namespace penstock::free_list {

#ifdef PENSTOCK_NO_POOLS

void* take(std::size_t size) { return ::operator new(size); }
void give_back(void* block, std::size_t size) noexcept { ::operator delete(block, size); }
void trim() noexcept {}
std::size_t cached_blocks() noexcept { return 0; }

#else

namespace {

constexpr std::size_t granule = 16;
constexpr std::size_t classes = 65;  // up to 1,024 bytes
constexpr std::size_t blocks_per_slab = 32;

struct Block {
    Block* next;
};

// Blocks are cut from slabs, which spares malloc's header on each. A slab is never returned alone:
// connections come back, and their memory with them.
class Lists {
public:
    Lists() = default;
    Lists(const Lists&) = delete;
    Lists& operator=(const Lists&) = delete;
    ~Lists() { trim(); }

    void* take(std::size_t k) {
        if (heads_[k] == nullptr) refill(k);
        ++in_use_;
        --cached_;
        return std::exchange(heads_[k], heads_[k]->next);
    }

    void give_back(void* memory, std::size_t k) noexcept {
        auto* block = static_cast<Block*>(memory);
        block->next = heads_[k];
        heads_[k] = block;
        --in_use_;
        ++cached_;
    }

    void trim() noexcept {
        if (in_use_ != 0) return;
        heads_ = {};
        cached_ = 0;
        while (slabs_ != nullptr) ::operator delete(std::exchange(slabs_, slabs_->next));
    }

    [[nodiscard]] std::size_t cached() const noexcept { return cached_; }

private:
    void refill(std::size_t k) {
        const std::size_t size = k * granule;
        auto* slab = static_cast<Block*>(::operator new(granule + size * blocks_per_slab));
        slab->next = std::exchange(slabs_, slab);
        auto* memory = reinterpret_cast<std::byte*>(slab) + granule;
        for (std::size_t i = 0; i < blocks_per_slab; ++i) {
            auto* block = reinterpret_cast<Block*>(memory + i * size);
            block->next = std::exchange(heads_[k], block);
        }
        cached_ += blocks_per_slab;
    }

    std::array<Block*, classes> heads_{};
    Block* slabs_ = nullptr;
    std::size_t in_use_ = 0;
    std::size_t cached_ = 0;
};

thread_local Lists lists;

constexpr std::size_t class_of(std::size_t size) noexcept {
    return size == 0 ? 1 : (size + granule - 1) / granule;
}

}  // namespace

void* take(std::size_t size) {
    const std::size_t k = class_of(size);
    return k < classes ? lists.take(k) : ::operator new(size);
}

void give_back(void* block, std::size_t size) noexcept {
    const std::size_t k = class_of(size);
    if (k < classes)
        lists.give_back(block, k);
    else
        ::operator delete(block);
}

void trim() noexcept { lists.trim(); }
std::size_t cached_blocks() noexcept { return lists.cached(); }

#endif

}  // namespace penstock::free_list
