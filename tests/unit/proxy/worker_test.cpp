#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/proxy/running_worker.hpp"

#ifndef PENSTOCK_NO_POOLS
// Counts what the calling thread allocates. The sanitizers have a malloc of their own.
extern "C" void* __libc_malloc(std::size_t);  // NOLINT: glibc's name

namespace {
thread_local std::size_t allocations = 0;
thread_local std::size_t allocated_bytes = 0;
}  // namespace

extern "C" void* malloc(std::size_t size) noexcept {
    ++allocations;
    allocated_bytes += size;
    return __libc_malloc(size);
}
#endif

namespace penstock::proxy {
namespace {

using net::UniqueFd;
using std::chrono::milliseconds;

enum class End { fin, reset, nothing };

End end_of(const UniqueFd& fd) {
    char byte;
    ssize_t n;
    do n = ::recv(fd.get(), &byte, 1, 0);
    while (n > 0);
    if (n == 0) return End::fin;
    return errno == ECONNRESET ? End::reset : End::nothing;
}

std::string read_some(const UniqueFd& fd, std::size_t size) {
    std::string text(size, '\0');
    const auto n = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return text;
}

void round_trip(const UniqueFd& client, const UniqueFd& backend) {
    net::say(client, "0123456789abcdef");
    ASSERT_EQ(read_some(backend, 16), "0123456789abcdef");
    net::say(backend, "fedcba9876543210");
    ASSERT_EQ(read_some(client, 16), "fedcba9876543210");
}

TEST(Session, N8_half_close_goes_both_ways_and_both_fins_complete_it) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    const UniqueFd backend = running.accept_backend();
    net::say(client, "request");
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_EQ(read_some(backend, 7), "request");
    EXPECT_EQ(end_of(backend), End::fin);
    net::say(backend, "late answer");
    EXPECT_EQ(read_some(client, 11), "late answer");
    ::shutdown(backend.get(), SHUT_WR);
    EXPECT_EQ(end_of(client), End::fin);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::completed), 1U);
}

// Rule 4: nobody waits on the backend's socket any more, and still its reset ends the session.
TEST(Session, rule_4_a_reset_after_the_fin_ends_the_session_at_once) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    UniqueFd backend = running.accept_backend();
    ::shutdown(backend.get(), SHUT_WR);
    EXPECT_EQ(end_of(client), End::fin);
    net::reset_peer(backend);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::backend_reset), 1U);
}

TEST(Session, N6_data_before_a_reset_arrives_and_then_the_reset) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    UniqueFd backend = running.accept_backend();
    round_trip(client, backend);
    net::say(backend, "the last words");
    net::reset_peer(backend);
    EXPECT_EQ(read_some(client, 14), "the last words");
    EXPECT_EQ(end_of(client), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::backend_reset), 1U);
}

// Rule 6: both pumps wait; an abort closes the sockets under them.
TEST(Session, rule_6_an_abort_wakes_both_pumps_and_resets_both_sides) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    const UniqueFd backend = running.accept_backend();
    round_trip(client, backend);
    running.worker.send([&] { running.worker.abort_all(CloseReason::internal); });
    EXPECT_EQ(end_of(client), End::reset);
    EXPECT_EQ(end_of(backend), End::reset);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::internal), 1U);
}

// Health says that the backend is gone, and later that it is back.
TEST(Session, held_clients_go_on_when_a_backend_is_available_again) {
    config::Upstream upstream;
    upstream.no_backend = config::NoBackend::hold;
    RunningWorker running({}, upstream);
    running.set_available(false);
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 5; ++i) clients.push_back(running.connect());
    const auto held = [&](std::size_t count) {
        return running.wait_until([&] { return running.upstream->held.used() == count; });
    };
    ASSERT_TRUE(held(5));
    clients.pop_back();  // it does not want to wait
    ASSERT_TRUE(held(4));
    ASSERT_TRUE(running.wait_for_sessions(4));
    running.set_available(true);
    std::vector<UniqueFd> backends;
    for (int i = 0; i < 4; ++i) backends.push_back(running.accept_backend());
    for (const UniqueFd& backend : backends) EXPECT_TRUE(backend);
    EXPECT_TRUE(held(0));
    EXPECT_EQ(running.closed(CloseReason::no_backend), 0U);
}

TEST(Session, A6_a_client_that_leaves_without_a_byte_is_gone) {
    config::Upstream upstream;
    upstream.connect_timeout = std::chrono::seconds(30);
    RunningWorker running({}, upstream);
    // A listener whose queue is full: the connection stays in progress.
    ::listen(running.backend_listeners[0].get(), 0);
    std::vector<UniqueFd> fill;
    for (int i = 0; i < 3; ++i) fill.push_back(running.connect());
    ASSERT_TRUE(running.wait_for_sessions(3));
    UniqueFd client = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(4));
    client.reset();
    EXPECT_TRUE(running.wait_for_sessions(3));
    EXPECT_EQ(running.closed(CloseReason::client_gone), 1U);
}

TEST(Session, drained_by_fin_when_quiet) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    const UniqueFd backend = running.accept_backend();
    round_trip(client, backend);
    running.on_worker([&] {
        running.worker.drain(
            DrainPlan(running.worker.loop().now(), milliseconds(1100), milliseconds(200)), {});
    });
    EXPECT_EQ(end_of(client), End::fin);
    EXPECT_EQ(end_of(backend), End::fin);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::drained), 1U);
}

TEST(Session, drained_by_reset_at_the_deadline_when_busy) {
    // A second without a byte would be quiet: three chances for a machine that has better to do.
    bool judged = false;
    for (int window = 0; window < 3 && !judged; ++window) {
        RunningWorker running;
        const UniqueFd client = running.connect();
        const UniqueFd backend = running.accept_backend();
        const TimePoint start = SteadyClock().now();
        round_trip(client, backend);
        running.on_worker([&] {
            running.worker.drain(
                DrainPlan(running.worker.loop().now(), Duration(0), milliseconds(100)), {});
        });
        const End end = end_of(client);
        ASSERT_TRUE(running.wait_for_sessions(0));
        if (SteadyClock().now() - start >= milliseconds(900)) continue;
        EXPECT_EQ(end, End::reset);
        EXPECT_EQ(running.closed(CloseReason::drained), 1U);
        judged = true;
    }
    EXPECT_TRUE(judged);
}

#ifndef PENSTOCK_NO_POOLS
std::size_t allocations_of(RunningWorker& running) {
    return running.on_worker([] { return allocations; });
}

TEST(Memory, no_allocation_per_message_in_steady_state) {
    RunningWorker running;
    const UniqueFd client = running.connect();
    const UniqueFd backend = running.accept_backend();
    for (int i = 0; i < 50; ++i) round_trip(client, backend);
    const auto before = allocations_of(running);
    for (int i = 0; i < 500; ++i) round_trip(client, backend);
    EXPECT_EQ(allocations_of(running), before);
}

TEST(Memory, no_allocation_per_connection_in_steady_state) {
    RunningWorker running;
    const auto connect_once = [&] {
        UniqueFd client = running.connect();
        UniqueFd backend = running.accept_backend();
        round_trip(client, backend);
        client.reset();
        EXPECT_EQ(end_of(backend), End::fin);
    };
    // The pools grow to the largest number of sessions at a time; closing ones overlap with new
    // ones.
    {
        std::vector<UniqueFd> held;
        for (int i = 0; i < 60; ++i) {
            held.push_back(running.connect());
            held.push_back(running.accept_backend());
            round_trip(held[held.size() - 2], held.back());
        }
    }
    ASSERT_TRUE(running.wait_for_sessions(0));
    for (int i = 0; i < 50; ++i) connect_once();
    ASSERT_TRUE(running.wait_for_sessions(0));
    const auto before = allocations_of(running);
    for (int i = 0; i < 200; ++i) connect_once();
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(allocations_of(running), before);
}

TEST(Memory, an_idle_connection_takes_at_most_a_kibibyte) {
    RunningWorker running;
    constexpr std::size_t count = 640;
    std::vector<UniqueFd> sockets;
    const auto open = [&](std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            sockets.push_back(running.connect());
            sockets.push_back(running.accept_backend());
            round_trip(sockets[sockets.size() - 2], sockets.back());
        }
    };
    open(32);
    const auto before = running.on_worker([] { return allocated_bytes; });
    open(count);
    const auto after = running.on_worker([] { return allocated_bytes; });
    const auto each = (after - before) / count;
    RecordProperty("bytes_per_idle_connection", static_cast<int>(each));
    EXPECT_LE(each, 1024U);
    EXPECT_GE(each, sizeof(Session)) << "the counter sees nothing";
}
#endif

}  // namespace
}  // namespace penstock::proxy
