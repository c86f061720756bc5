#include "balancer/slot_limiter.hpp"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace penstock::balancer {
namespace {

TEST(SlotLimiter, lends_exactly_its_limit) {
    SlotLimiter limiter(2);
    Permit first = limiter.try_acquire();
    Permit second = limiter.try_acquire();
    EXPECT_TRUE(first && second);
    EXPECT_TRUE(limiter.full());
    EXPECT_FALSE(limiter.try_acquire());
    first.release();
    EXPECT_TRUE(limiter.try_acquire());
}

TEST(SlotLimiter, a_moved_permit_counts_once) {
    SlotLimiter limiter(1);
    Permit first = limiter.try_acquire();
    Permit second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(limiter.used(), 1U);
    second = Permit();
    EXPECT_EQ(limiter.used(), 0U);
}

TEST(SlotLimiter, zero_only_counts) {
    SlotLimiter limiter(0);
    std::vector<Permit> permits;
    for (int i = 0; i < 1000; ++i) permits.push_back(limiter.try_acquire());
    EXPECT_EQ(limiter.used(), 1000U);
    EXPECT_FALSE(limiter.full());
}

TEST(SlotLimiter, never_exceeds_its_limit_across_threads) {
    SlotLimiter limiter(7);
    std::atomic<std::uint64_t> highest{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 20000; ++i) {
                std::vector<Permit> held;
                for (int k = 0; k < 3; ++k)
                    if (auto permit = limiter.try_acquire()) held.push_back(std::move(permit));
                std::uint64_t seen = highest.load();
                while (limiter.used() > seen &&
                       !highest.compare_exchange_weak(seen, limiter.used())) {
                }
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_LE(highest.load(), 7U);
    EXPECT_EQ(limiter.used(), 0U);
}

TEST(SlotLimiter, another_limit_counts_from_now_on_and_takes_nothing_away) {
    SlotLimiter limiter(3);
    std::vector<Permit> held;
    for (int i = 0; i < 3; ++i) held.push_back(limiter.try_acquire());
    limiter.set_limit(1);
    EXPECT_EQ(limiter.limit(), 1U);
    EXPECT_EQ(limiter.used(), 3U);
    held.pop_back();
    held.pop_back();
    EXPECT_TRUE(limiter.full());
    EXPECT_FALSE(limiter.try_acquire()) << "one is lent, and no more are allowed";
    held.pop_back();
    EXPECT_TRUE(limiter.try_acquire());
    limiter.set_limit(2);
    held.push_back(limiter.try_acquire());
    held.push_back(limiter.try_acquire());
    EXPECT_FALSE(limiter.try_acquire());
    limiter.set_limit(0);
    EXPECT_FALSE(limiter.full());
    held.push_back(limiter.try_acquire());
    EXPECT_TRUE(held.back());
    // What was lent without a limit counts when there is one again.
    limiter.set_limit(3);
    EXPECT_TRUE(limiter.full());
    EXPECT_FALSE(limiter.try_acquire());
}

}  // namespace
}  // namespace penstock::balancer
