// Workers pick on their own selectors from one set of backends: the limits are common.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

constexpr std::size_t workers = 4;
constexpr int picks_per_worker = 20'000;

// What one backend is used for, counted beside the limiters that are tested.
struct Books {
    std::atomic<std::uint64_t> slots{0};
    std::atomic<std::uint64_t> connecting{0};
    std::atomic<std::uint64_t> most_slots{0};
    std::atomic<std::uint64_t> most_connecting{0};
};

void enter(std::atomic<std::uint64_t>& count, std::atomic<std::uint64_t>& most) {
    const std::uint64_t now = count.fetch_add(1) + 1;
    std::uint64_t seen = most.load();
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
}

struct Session {
    Pick pick;
    Books* books;

    void end() {
        if (pick.connecting) connected();
        books->slots.fetch_sub(1);
        pick.slot.release();
    }
    void connected() {
        books->connecting.fetch_sub(1);
        pick.connecting.release();
    }
};

// Opens and closes sessions at random; returns how many picks found everybody full.
std::uint64_t work(const std::shared_ptr<const BackendSet>& set, PolicyKind kind,
                   std::vector<Books>& books, std::uint64_t seed) {
    Selector selector(set, {.kind = kind}, seed);
    Random random(seed + 50);
    std::vector<Session> sessions;
    std::uint64_t full = 0;
    TimePoint now = testing::noon;
    for (int n = 0; n < picks_per_worker; ++n, now += std::chrono::microseconds(50)) {
        auto pick = selector.pick({.tried = {}, .key = {}, .now = now});
        if (pick) {
            Books& of = books[pick->index];
            enter(of.slots, of.most_slots);
            enter(of.connecting, of.most_connecting);
            set->backend(pick->index).latency().record(std::chrono::microseconds(n % 97), now);
            sessions.push_back({*std::move(pick), &of});
        } else {
            EXPECT_EQ(pick.error(), PickFailure::all_full);
            ++full;
        }
        if (n % 500 == 0) set->backend(random.below(3)).start_slowly(now);
        while (!sessions.empty() && random.below(3) == 0) {
            const auto any = random.below(static_cast<std::uint32_t>(sessions.size()));
            std::swap(sessions[any], sessions.back());
            if (sessions.back().pick.connecting && random.below(2) == 0) {
                sessions.back().connected();
                break;
            }
            sessions.back().end();
            sessions.pop_back();
        }
    }
    for (Session& session : sessions) session.end();
    return full;
}

TEST(CrossThread, no_limit_is_ever_exceeded) {
    for (const PolicyKind kind : testing::all_policies) {
        const auto set = testing::make_set({{.limits = {.connections = 5, .connecting = 2}},
                                            {.limits = {.connections = 7}},
                                            {.limits = {.connections = 3, .connecting = 3}}});
        std::vector<Books> books(set->size());
        std::atomic<std::uint64_t> full{0};
        std::vector<std::thread> threads;
        for (std::size_t worker = 0; worker < workers; ++worker)
            threads.emplace_back([&, worker] { full += work(set, kind, books, worker); });
        for (auto& thread : threads) thread.join();
        for (std::size_t i = 0; i < set->size(); ++i) {
            Backend& backend = set->backend(i);
            EXPECT_EQ(books[i].most_slots, backend.slots().limit()) << testing::name_of(kind);
            if (backend.connecting().limit() != 0) {
                EXPECT_LE(books[i].most_connecting, backend.connecting().limit());
            }
            EXPECT_EQ(backend.slots().used(), 0U);
            EXPECT_EQ(backend.connecting().used(), 0U);
        }
        EXPECT_GT(full, 0U) << "the limits were never reached";
    }
}

}  // namespace
}  // namespace penstock::balancer
