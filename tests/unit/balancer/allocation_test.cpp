// pick() runs once per connection on the data path: it must not allocate. This executable counts.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "support.hpp"

namespace {

std::atomic<std::size_t> allocations{0};

}  // namespace

void* operator new(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* const block = std::malloc(size != 0 ? size : 1)) return block;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace penstock::balancer {
namespace {

TEST(Allocations, the_counter_works) {
    const auto before = allocations.load();
    const auto block = std::make_unique<std::vector<int>>(10);
    EXPECT_EQ(allocations.load(), before + 2) << block->size();
}

TEST(Allocations, a_bitmap_of_128_needs_none) {
    const auto before = allocations.load();
    Bitmap small(128);
    small.set(127);
    const Bitmap copy = small;
    EXPECT_EQ(allocations.load(), before);
    EXPECT_TRUE(copy.test(127));
}

TEST(Allocations, pick_never_allocates) {
    for (const PolicyKind kind : testing::all_policies) {
        for (const std::uint32_t size : {1U, 3U, 100U, 1000U}) {
            std::vector<testing::Member> members(size);
            for (std::uint32_t i = 0; i < size; ++i) members[i] = {1 + i % 7, i % 3, i % 11 != 5};
            Selector selector(testing::make_set(members), kind, 6);
            Bitmap tried(size);
            Random random(2);
            std::uint64_t sum = 0;
            const auto before = allocations.load();
            for (int n = 0; n < 3000; ++n) {
                selector.set_available(random.below(size), random.below(8) == 0);
                if (const auto i = selector.pick({})) {
                    selector.set().backend(*i).session_started();
                    tried.set(*i);
                    sum += *i;
                }
                sum += selector.pick(tried).value_or(0) + (selector.can_pick(tried) ? 1 : 0);
            }
            EXPECT_EQ(allocations.load(), before) << testing::name_of(kind) << ' ' << size << sum;
        }
    }
}

}  // namespace
}  // namespace penstock::balancer
