#include "tests/support/shortage.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t no_limit = ~std::size_t{0};

std::atomic<std::size_t> limit{no_limit};
std::atomic<std::size_t> refusals{0};
thread_local bool spared = false;

void* allocate(std::size_t size) noexcept {
    if (size <= limit.load() || spared) return std::malloc(size != 0 ? size : 1);
    refusals.fetch_add(1);
    return nullptr;
}

}  // namespace

void* operator new(std::size_t size) {
    if (void* const block = allocate(size)) return block;
    throw std::bad_alloc();
}
// The library asks for memory that it can do without in this way (std::stable_sort).
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace penstock::test {

Shortage::Shortage(std::size_t most) noexcept {
    spared = true;
    refusals = 0;
    limit = most;
}

Shortage::~Shortage() {
    limit = no_limit;
    spared = false;
}

std::size_t Shortage::refused() noexcept { return refusals.load(); }

}  // namespace penstock::test
