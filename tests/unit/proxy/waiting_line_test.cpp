#include "proxy/queue/waiting_line.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "balancer/slot_limiter.hpp"
#include "base/random.hpp"

namespace penstock::proxy {
namespace {

using config::QueueOrder;
using std::chrono::milliseconds;

constexpr TimePoint start{std::chrono::hours(1)};

// Calls all that wait, one by one, and returns them in that order; they leave.
std::vector<const Waiter*> serve_all(WaitingLine& line, TimePoint now, unsigned workers = 1) {
    std::vector<const Waiter*> served;
    while (const auto worker = line.call_next(now)) {
        EXPECT_LT(*worker, workers);
        Waiter* called = line.take_called(*worker);
        if (called == nullptr) {
            ADD_FAILURE() << "called nobody";
            break;
        }
        EXPECT_TRUE(called->trying());
        EXPECT_TRUE(line.leave(*called));
        served.push_back(called);
    }
    return served;
}

class Waiters {
public:
    explicit Waiters(std::size_t count, unsigned worker = 0) {
        for (std::size_t i = 0; i < count; ++i) all_.emplace_back(worker);
    }
    Waiter& operator[](std::size_t i) { return all_[i]; }
    void join_all(WaitingLine& line, TimePoint now) {
        for (auto& waiter : all_) EXPECT_TRUE(line.join(waiter, now));
    }

private:
    std::deque<Waiter> all_;
};

TEST(WaitingLine, calls_in_the_order_of_arrival_on_each_ones_worker) {
    WaitingLine line(2, 10, QueueOrder::fifo);
    Waiter a(1);
    Waiter b(0);
    ASSERT_TRUE(line.join(a, start));
    ASSERT_TRUE(line.join(b, start));
    EXPECT_EQ(line.waiting(), 2U);
    EXPECT_EQ(line.call_next(start), 1U);
    EXPECT_EQ(line.call_next(start), 0U);
    EXPECT_EQ(line.call_next(start), std::nullopt);
    EXPECT_EQ(line.take_called(1), &a);
    EXPECT_EQ(line.take_called(1), nullptr);
    EXPECT_EQ(line.take_called(0), &b);
    EXPECT_TRUE(line.leave(a));
    EXPECT_TRUE(line.leave(b));
}

TEST(WaitingLine, is_occupied_until_the_called_one_has_left) {
    WaitingLine line(1, 10, QueueOrder::fifo);
    Waiter a(0);
    EXPECT_FALSE(line.occupied());
    ASSERT_TRUE(line.join(a, start));
    ASSERT_TRUE(line.call_next(start));
    EXPECT_EQ(line.waiting(), 0U);
    EXPECT_TRUE(line.occupied());
    ASSERT_EQ(line.take_called(0), &a);
    EXPECT_TRUE(line.occupied());
    EXPECT_TRUE(line.leave(a));
    EXPECT_FALSE(line.occupied());
}

TEST(WaitingLine, is_bounded_and_zero_means_nobody) {
    WaitingLine line(1, 2, QueueOrder::fifo);
    Waiters w(3);
    EXPECT_TRUE(line.join(w[0], start));
    EXPECT_TRUE(line.join(w[1], start));
    EXPECT_FALSE(line.join(w[2], start));
    EXPECT_FALSE(line.leave(w[0])) << "nobody had called it";
    EXPECT_TRUE(line.join(w[2], start));
    serve_all(line, start);

    WaitingLine closed(1, 0, QueueOrder::fifo);
    Waiter nobody(0);
    EXPECT_FALSE(closed.join(nobody, start));
}

TEST(WaitingLine, one_that_was_too_slow_gets_its_old_place_even_in_a_full_line) {
    WaitingLine line(1, 3, QueueOrder::fifo);
    Waiters w(4);
    for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(line.join(w[i], start));
    ASSERT_TRUE(line.call_next(start));
    ASSERT_TRUE(line.call_next(start));
    ASSERT_EQ(line.take_called(0), &w[0]);
    ASSERT_EQ(line.take_called(0), &w[1]);
    EXPECT_FALSE(line.join(w[3], start)) << "called ones still count";
    EXPECT_TRUE(line.join(w[1], start));
    EXPECT_TRUE(line.join(w[0], start));
    EXPECT_FALSE(w[0].trying());
    EXPECT_EQ(serve_all(line, start), (std::vector<const Waiter*>{&w[0], &w[1], &w[2]}));
}

TEST(WaitingLine, whoever_leaves_a_call_unused_is_told) {
    WaitingLine line(1, 3, QueueOrder::fifo);
    Waiters w(2);
    w.join_all(line, start);
    ASSERT_TRUE(line.call_next(start));
    EXPECT_TRUE(line.leave(w[0])) << "called, although it did not know";
    EXPECT_FALSE(line.leave(w[0])) << "out already";
    EXPECT_EQ(line.take_called(0), nullptr);
    EXPECT_FALSE(line.leave(w[1]));
}

TEST(WaitingLine, adaptive_lifo_turns_round_while_the_line_stands) {
    WaitingLine line(1, 100, QueueOrder::adaptive_lifo);
    Waiters w(5);
    w.join_all(line, start);
    ASSERT_TRUE(line.call_next(start + WaitingLine::standing_after - milliseconds(1)));
    ASSERT_EQ(line.take_called(0), &w[0]) << "not yet a standing line";
    ASSERT_TRUE(line.leave(w[0]));
    const TimePoint later = start + WaitingLine::standing_after;
    ASSERT_TRUE(line.call_next(later));
    ASSERT_EQ(line.take_called(0), &w[4]);
    ASSERT_TRUE(line.join(w[4], later)) << "too slow: again the newest";
    EXPECT_EQ(serve_all(line, later), (std::vector<const Waiter*>{&w[4], &w[3], &w[2], &w[1]}));
    // It was empty: the order of arrival counts again.
    Waiters next(2);
    next.join_all(line, later);
    EXPECT_EQ(serve_all(line, later), (std::vector<const Waiter*>{&next[0], &next[1]}));
}

// A naive list of tickets says who is next, whatever joins, rejoins and leaves in between.
TEST(WaitingLine, agrees_with_a_sorted_list_of_tickets) {
    Random random(7);
    for (const auto order : {QueueOrder::fifo, QueueOrder::adaptive_lifo}) {
        WaitingLine line(1, 1000, order);
        Waiters w(40);
        std::vector<std::uint64_t> ticket(40, 0);  // 0 = out, never waited
        std::vector<char> in(40, 0);
        std::uint64_t next = 1;
        TimePoint now = start;
        TimePoint empty_until = start;
        for (int step = 0; step < 20'000; ++step) {
            now += milliseconds(random.below(30));
            const std::size_t i = random.below(40);
            const bool none = std::ranges::count(in, 1) == 0;
            if (random.below(3) != 0) {
                if (in[i] != 0) continue;
                const bool again = ticket[i] != 0;
                if (!again) ticket[i] = next++;
                if (none && !again) empty_until = now;
                ASSERT_TRUE(line.join(w[i], now));
                in[i] = 1;
            } else if (random.below(4) == 0) {
                ASSERT_FALSE(line.leave(w[i]));
                in[i] = 0;
            } else if (!none) {
                const bool newest = order == QueueOrder::adaptive_lifo &&
                                    now - empty_until >= WaitingLine::standing_after;
                std::size_t expected = 40;
                for (std::size_t k = 0; k < 40; ++k)
                    if (in[k] != 0 && (expected == 40 || (newest ? ticket[k] > ticket[expected]
                                                                 : ticket[k] < ticket[expected])))
                        expected = k;
                ASSERT_TRUE(line.call_next(now));
                Waiter* const called = line.take_called(0);
                ASSERT_EQ(called, &w[expected]) << "step " << step;
                ASSERT_TRUE(line.leave(*called));
                in[expected] = 0;
            }
        }
        for (std::size_t i = 0; i < 40; ++i) line.leave(w[i]);
    }
}

// What workers do, without sockets: four threads with many sessions each share a few slots. Every
// thread's sessions either have a slot or wait; after any of them frees one it calls. At the end
// everybody was served: a lost call would leave somebody waiting for ever.
TEST(WaitingLine, no_call_is_lost_between_threads) {
    constexpr unsigned threads = 4;
    constexpr int rounds = 20'000;
    balancer::SlotLimiter slots(2);
    WaitingLine line(threads, 1000, QueueOrder::fifo);
    std::vector<std::atomic<int>> calls(threads);
    std::atomic<int> served{0};
    std::atomic<bool> stuck{false};
    const auto call = [&] {
        if (const auto worker = line.call_next(start)) ++calls[*worker];
    };
    const auto work = [&](unsigned me) {
        const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        for (int round = 0; round < rounds && !stuck; ++round) {
            Waiter waiter(me);
            balancer::Permit permit;
            if (!line.occupied()) permit = slots.try_acquire();
            if (!permit) {
                EXPECT_TRUE(line.join(waiter, start));
                if (!slots.full()) call();
            }
            while (!permit) {
                if (calls[me].load() == 0) {
                    if (std::chrono::steady_clock::now() > give_up_at) stuck = true;
                    if (stuck) break;
                    std::this_thread::yield();
                    continue;
                }
                --calls[me];
                if (line.take_called(me) == nullptr) continue;
                permit = slots.try_acquire();
                if (permit) {
                    line.leave(waiter);
                } else {
                    EXPECT_TRUE(line.join(waiter, start));
                    if (!slots.full()) call();
                }
            }
            if (permit) ++served;
            permit.release();
            call();
            if (line.leave(waiter)) call();
        }
    };
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i) running.emplace_back(work, i);
    running.clear();
    EXPECT_FALSE(stuck);
    EXPECT_EQ(served, static_cast<int>(threads) * rounds);
    EXPECT_FALSE(line.occupied());
}

TEST(WaitingLine, another_length_and_order_count_from_now_on_and_who_waits_keeps_its_place) {
    WaitingLine line(1, 3, QueueOrder::fifo);
    Waiters w(6);
    for (std::size_t i = 0; i < 3; ++i) ASSERT_TRUE(line.join(w[i], start));
    line.configure(1, QueueOrder::fifo);
    EXPECT_EQ(line.waiting(), 3U) << "nobody is sent away";
    EXPECT_FALSE(line.join(w[3], start));
    ASSERT_TRUE(line.call_next(start));
    ASSERT_EQ(line.take_called(0), &w[0]);
    EXPECT_TRUE(line.join(w[0], start)) << "who was too slow gets its old place";
    line.configure(5, QueueOrder::fifo);
    EXPECT_TRUE(line.join(w[3], start));
    EXPECT_TRUE(line.join(w[4], start));
    EXPECT_FALSE(line.join(w[5], start));
    line.configure(5, QueueOrder::adaptive_lifo);
    EXPECT_EQ(serve_all(line, start + WaitingLine::standing_after),
              (std::vector<const Waiter*>{&w[4], &w[3], &w[2], &w[1], &w[0]}));
}

TEST(WaitingLine, of_length_zero_serves_those_who_were_there_before) {
    WaitingLine line(1, 2, QueueOrder::fifo);
    Waiters w(3);
    ASSERT_TRUE(line.join(w[0], start));
    ASSERT_TRUE(line.join(w[1], start));
    line.configure(0, QueueOrder::fifo);
    EXPECT_FALSE(line.join(w[2], start));
    EXPECT_EQ(serve_all(line, start), (std::vector<const Waiter*>{&w[0], &w[1]}));
    EXPECT_FALSE(line.join(w[2], start));
}

}  // namespace
}  // namespace penstock::proxy
