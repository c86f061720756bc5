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
// The library asks for memory that it can do without in this way (std::stable_sort).
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return std::malloc(size != 0 ? size : 1);
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

// Tiers that join and spill, limits, ramps, failures, and clients that have tried some: every path
// of pick() is taken.
void expect_no_allocation(PolicyKind kind, std::uint32_t size) {
    std::vector<testing::Member> members(size);
    for (std::uint32_t i = 0; i < size; ++i)
        members[i] = {1 + i % 7, i % 3, i % 11 != 5, {.connections = i % 5}};
    const auto tables = kind == PolicyKind::maglev      ? HashTables::maglev
                        : kind == PolicyKind::ring_hash ? HashTables::ring
                                                        : HashTables::none;
    Selector selector(testing::make_set(members, {.tiers_join = true, .hash_tables = tables}),
                      {.kind = kind,
                       .bounded_load = 1.25,
                       .spill_when_full = true,
                       .tier_join_below = 0.2,
                       .slow_start = {.window = std::chrono::seconds(10)}},
                      6);
    Bitmap tried(size);
    Random random(2);
    std::vector<Permit> held;
    held.reserve(3000);
    std::uint64_t picks = 0;
    TimePoint now = testing::noon;
    const auto before = allocations.load();
    for (int n = 0; n < 3000; ++n) {
        now += std::chrono::milliseconds(10);
        selector.set_available(random.below(size), random.below(3) != 0);
        selector.set().backend(random.below(size)).start_slowly(now);
        if (auto picked = selector.pick({.tried = {}, .key = random.next(), .now = now})) {
            Backend& backend = selector.set().backend(picked->index);
            backend.session_started();
            backend.latency().record(std::chrono::milliseconds(random.below(100)), now);
            tried.set(picked->index);
            held.push_back(std::move(picked->slot));
            ++picks;
        }
        if (testing::pick(selector, tried, now)) ++picks;
        if (selector.can_pick(tried) && selector.has_room()) ++picks;
        if (held.size() > size) held.clear();
    }
    EXPECT_EQ(allocations.load(), before) << testing::name_of(kind) << ' ' << size;
    EXPECT_GT(picks, 100U);
}

TEST(Allocations, pick_never_allocates) {
    for (const PolicyKind kind : testing::all_policies)
        for (const std::uint32_t size : {1U, 3U, 100U, 1000U}) expect_no_allocation(kind, size);
    for (const PolicyKind kind : {PolicyKind::maglev, PolicyKind::ring_hash})
        for (const std::uint32_t size : {1U, 3U, 200U}) expect_no_allocation(kind, size);
}

}  // namespace
}  // namespace penstock::balancer
