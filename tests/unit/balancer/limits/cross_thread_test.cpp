// What several workers do to one table and one bucket at the same time.
#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "balancer/limits/source_table.hpp"
#include "base/random.hpp"

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1h};
constexpr unsigned thread_count = 4;

SourceTable::Key key(std::uint32_t n) {
    SourceTable::Key bytes{};
    bytes[14] = static_cast<std::uint8_t>(n >> 8);
    bytes[15] = static_cast<std::uint8_t>(n);
    return bytes;
}

TEST(CrossThreadLimits, no_source_ever_exceeds_its_connections) {
    constexpr std::uint32_t limit = 3;
    constexpr std::uint32_t sources = 8;
    SourceTable table({limit, std::nullopt}, {1024, 4}, SipHash(1, 2));
    std::array<std::atomic<std::uint32_t>, sources> active{};
    std::atomic<bool> exceeded = false;
    std::atomic<std::uint64_t> refused = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < thread_count; ++t)
        threads.emplace_back([&, t] {
            Random random(t);
            std::vector<std::pair<std::uint32_t, SourcePermit>> held;
            for (int i = 0; i < 20000; ++i) {
                const std::uint32_t source = random.below(sources);
                if (held.size() > random.below(12)) {
                    const auto which = random.below(static_cast<std::uint32_t>(held.size()));
                    std::swap(held[which], held.back());
                    --active[held.back().first];  // before the table: never too many here
                    held.pop_back();
                    continue;
                }
                auto permit = table.enter(key(source), start, [](const SourceTable::Standing& s) {
                    return !s.over_connections;
                });
                if (!permit) {
                    ++refused;
                    continue;
                }
                if (++active[source] > limit) exceeded = true;
                held.emplace_back(source, std::move(permit));
            }
            for (auto& [source, permit] : held) --active[source];
        });
    for (auto& thread : threads) thread.join();
    EXPECT_FALSE(exceeded);
    EXPECT_GT(refused, 0U) << "the limit was never reached";
    for (std::uint32_t source = 0; source < sources; ++source)
        EXPECT_EQ(table.connections(key(source)), 0U);
}

TEST(CrossThreadLimits, a_bucket_gives_each_token_once) {
    constexpr std::uint64_t burst = 5000;
    TokenBucket bucket(TokenLine(1000, 1s, burst));
    std::atomic<std::uint64_t> spent = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < thread_count; ++t)
        threads.emplace_back([&, t] {
            Random random(t);
            // A token on loan when the last one goes makes a thread stop too early: try on.
            for (int misses = 0; misses < 20000;) {
                auto token = bucket.try_take(start);
                if (!token) {
                    ++misses;
                } else if (random.below(3) == 0) {
                    token.give_back();
                } else {
                    token.spend();
                    ++spent;
                }
            }
        });
    for (auto& thread : threads) thread.join();
    EXPECT_LE(spent, burst);
    while (auto token = bucket.try_take(start)) {
        token.spend();
        ++spent;
    }
    EXPECT_EQ(spent, burst);
}

}  // namespace
}  // namespace penstock::balancer
