#include "net/event_loop.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>
#include <poll.h>

#include "net/loop_executor.hpp"
#include "net/task.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

TEST(EventLoop, runs_mail_from_other_threads_in_the_order_of_each_sender) {
    EventLoop loop{1 << 20};
    std::vector<std::vector<int>> received(4);
    int total = 0;
    std::vector<std::thread> senders;
    for (std::size_t s = 0; s < 4; ++s)
        senders.emplace_back([&, s] {
            for (int i = 0; i < 1000; ++i)
                loop.send([&, s, i] {
                    received[s].push_back(i);
                    ++total;
                });
        });
    EXPECT_TRUE(turn_until(loop, [&] { return total == 4000; }));
    for (auto& sender : senders) sender.join();
    for (const auto& of_sender : received)
        for (std::size_t i = 0; i < of_sender.size(); ++i)
            ASSERT_EQ(of_sender[i], static_cast<int>(i));
}

TEST(EventLoop, mail_ends_a_wait_without_a_deadline) {
    EventLoop loop{1 << 20};
    std::thread sender([&] { loop.send([&] { loop.stop(); }); });
    loop.run();
    sender.join();
}

TEST(EventLoop, mail_that_never_ran_is_destroyed) {
    auto guard = std::make_shared<int>(1);
    {
        EventLoop loop{1 << 20};
        loop.send([guard] {});
        EXPECT_EQ(guard.use_count(), 2);
    }
    EXPECT_EQ(guard.use_count(), 1);
}

TEST(EventLoop, is_an_asio_executor) {
    EventLoop loop{1 << 20};
    LoopContext context(loop);
    bool ran = false;
    boost::asio::post(context.get_executor(), [&] { ran = true; });
    EXPECT_FALSE(ran);
    EXPECT_TRUE(turn_until(loop, [&] { return ran; }));
}

struct Alarm final : Timer {
    explicit Alarm(EventLoop& owner) : loop(owner) {}
    void on_timer(TimePoint now) override {
        fired_at = now;
        loop.stop();
    }
    EventLoop& loop;
    TimePoint fired_at{};
};

TEST(EventLoop, sleeps_until_the_next_timer) {
    EventLoop loop{1 << 20};
    Alarm alarm(loop);
    const TimePoint due = loop.now() + std::chrono::milliseconds(60);
    loop.wheel().file(alarm, due);
    loop.run();
    EXPECT_GE(alarm.fired_at, due);
}

TEST(EventLoop, ready_input_comes_before_a_deadline_that_has_passed) {
    EventLoop loop{1 << 20};
    IgnoreHangups handler;
    Socket socket(handler);
    auto [own, peer] = tcp_pair();
    socket.adopt(std::move(own), SocketKind::tcp);
    ASSERT_FALSE(loop.poller().add(socket, Poller::stream_events));
    struct Judge final : Timer {
        explicit Judge(Socket& s) : socket(s) {}
        void on_timer(TimePoint) override { saw_input = socket.readable.ready(); }
        Socket& socket;
        bool saw_input = false;
    } judge(socket);
    loop.wheel().file(judge, loop.now() - std::chrono::seconds(1));
    say(peer, "alive");
    pollfd arrived{socket.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&arrived, 1, 20'000), 1);
    loop.turn(Duration::zero());
    EXPECT_TRUE(judge.saw_input);
}

struct Owner final : CoroutineOwner {
    void on_coroutine_failure(std::exception_ptr) noexcept override { FAIL(); }
};

Root work_in_background(Owner&, EventLoop& loop, std::vector<int>& done, int number) {
    co_await loop.background().yield();
    done.push_back(number);
    const TimePoint ends = SteadyClock().now() + EventLoop::background_slice;
    while (SteadyClock().now() < ends) {  // a signature takes its time
    }
}

Root relay_once(Owner&, EventLoop& loop, std::vector<int>& done, int number) {
    co_await loop.ready().yield();
    done.push_back(number);
}

// T6: a handshake costs the time of a slice; whoever only relays does not wait for a second one.
TEST(EventLoop, T6_background_gets_one_slice_per_turn_after_all_that_was_ready) {
    EventLoop loop{1 << 20};
    Owner owner;
    std::vector<int> done;
    for (int i = 0; i < 3; ++i) work_in_background(owner, loop, done, i);
    for (int turn = 0; turn < 3; ++turn) {
        relay_once(owner, loop, done, 100);
        relay_once(owner, loop, done, 101);
        loop.turn(std::chrono::seconds(20));
        EXPECT_EQ(done, (std::vector{100, 101, turn})) << "it does not wait while there is work";
        done.clear();
    }
    EXPECT_TRUE(loop.background().empty());
}

Root little_work(Owner&, EventLoop& loop, int& done) {
    co_await loop.background().yield();
    ++done;
}

TEST(EventLoop, T6_a_slice_has_room_for_many_small_steps) {
    EventLoop loop{1 << 20};
    Owner owner;
    int done = 0;
    constexpr int count = 5000;
    for (int i = 0; i < count; ++i) little_work(owner, loop, done);
    EXPECT_TRUE(turn_until(loop, [&] { return done == count; }));
    EXPECT_TRUE(loop.background().empty());
}

Root note(Owner&, ReadyQueue& queue, std::vector<int>& done, int number) {
    co_await queue.yield();
    done.push_back(number);
}

TEST(ReadyQueue, one_that_is_never_empty_stays_in_order) {
    ReadyQueue queue;
    Owner owner;
    std::vector<int> done;
    const auto push = [&](int number) { note(owner, queue, done, number); };
    int next = 0;
    for (; next < 10; ++next) push(next);
    for (int i = 0; i < 5000; ++i) {
        queue.run_one();
        push(next++);
    }
    while (!queue.empty()) queue.run_one();
    ASSERT_EQ(done.size(), static_cast<std::size_t>(next));
    for (int i = 0; i < next; ++i) ASSERT_EQ(done[static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace penstock::net
