// Many checks at a time, a thread that stands still, and an end in the middle of it all.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/process_stats.hpp"
#include "tests/support/rude_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/health/probe/probe_runner.hpp"

namespace penstock::health {
namespace {

using namespace std::string_literals;
using config::CheckType;
using test::Manners;
using test::RudeServer;

void allow_many_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t descriptors() { return test::descriptors_of(::getpid()); }

config::Upstream upstream_for(CheckType type) {
    auto upstream = upstream_with(type, 100ms);
    upstream.health_check.http.body_contains = "never";
    upstream.health_check.exchange = {.send = "ping\r\n", .expect = "never"};
    return upstream;
}

constexpr std::array all_types{CheckType::tcp, CheckType::tls, CheckType::http,
                               CheckType::exchange};

/// One probe of each type and one server of each kind.
class Crowd {
public:
    explicit Crowd(boost::asio::io_context& context) {
        for (const CheckType type : all_types)
            probes_.push_back(make_probe(context, upstream_for(type), {}));
        using Then = Manners::Then;
        const std::string flood(16384, 'x');
        const std::uint64_t gigabyte = 1 << 30;
        const std::string ok = "HTTP/1.1 200 OK\r\n";
        add({});
        add({}, "unix:" + directory_.path("hang"));
        add({}, "unix:@penstock" + directory_.path("abstract"));
        add({.then = Then::reset});
        add({.then = Then::close});
        add({.then = Then::finish});
        add({.waits_for_request = true, .then = Then::reset});
        add({.repeats = flood, .repeats_up_to = gigabyte});
        add({.says = ok + "\r\n", .repeats = flood, .repeats_up_to = gigabyte});
        add({.says = ok, .repeats = "X-Y: value\r\n", .repeats_up_to = gigabyte});
        add({.says = ok + "X-Y: " + flood, .pace = 1ms});
        add({.waits_for_request = true, .says = "\x16\x03\x03\x40\x01\x02garbage"});
        add({.says = "+OK nice to meet you\r\n", .then = Then::finish});
        addresses_.push_back(closed_.address.text());
        addresses_.push_back(full_.text());
        addresses_.push_back(unix_full_.text());
    }

    Probe& probe(std::size_t number) { return *probes_[number % probes_.size()]; }
    ProbeTarget target(std::size_t number) const {
        return target_at(addresses_[number / probes_.size() % addresses_.size()]);
    }
    [[nodiscard]] std::string closed() const { return closed_.address.text(); }
    [[nodiscard]] std::size_t kinds() const { return probes_.size() * addresses_.size(); }

    [[nodiscard]] bool all_left() const {
        return std::ranges::all_of(servers_,
                                   [](const RudeServer& server) { return server.open() == 0; });
    }
    [[nodiscard]] std::uint64_t most_sent() const {
        std::uint64_t most = 0;
        for (const RudeServer& server : servers_) most = std::max(most, server.most_sent());
        return most;
    }

private:
    void add(Manners manners, const std::string& address = "127.0.0.1:0") {
        addresses_.push_back(servers_.emplace_back(std::move(manners), address).text());
    }

    test::TempDir directory_;
    test::ClosedPort closed_;
    test::FullBacklog full_;
    test::FullBacklog unix_full_{"unix:" + directory_.path("full")};
    std::list<RudeServer> servers_;
    std::vector<std::string> addresses_;
    std::vector<std::unique_ptr<Probe>> probes_;
};

class CrowdTest : public testing::Test {
protected:
    CrowdTest() { allow_many_descriptors(); }

    /// `count` checks, so many at a time as make the whole bearable; each result is looked at.
    void run_many(std::size_t count) {
        left_ = count;
        for (int i = 0; i < 400; ++i) start_next();
        runner.run_all();
        EXPECT_EQ(left_, 0U);
    }

    void start_next() {
        if (left_ == 0) return;
        --left_;
        const std::size_t number = number_++;
        runner.start(crowd.probe(number), crowd.target(number), 100ms,
                     [this, number](const ProbeResult& result) {
                         expect_sensible(number, result);
                         start_next();
                     });
    }

    void expect_sensible(std::size_t number, const ProbeResult& result) {
        const bool is_tcp = number % all_types.size() == 0;
        EXPECT_FALSE(result.detail.empty());
        EXPECT_LE(result.detail.size(), 200U);
        EXPECT_TRUE(!result.ok || is_tcp) << result.detail;
        EXPECT_EQ(result.role, Role::none);
    }

    ProbeRunner runner;
    Crowd crowd{runner.context()};

private:
    std::size_t left_ = 0;
    std::size_t number_ = 0;
};

// Bytes of the heap that are in use; what the kernel counts as private changes with other processes
// that run the same program. Zero under the address sanitizer, which looks for leaks itself.
std::size_t heap_in_use() {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

TEST_F(CrowdTest, B10TenThousandChecksLeaveNothingBehind) {
    // The loop opens descriptors of its own with the first socket.
    EXPECT_EQ(runner.run(upstream_for(CheckType::tcp), target_at(crowd.closed())).ok, false);
    const std::size_t descriptors_before = descriptors();
    const auto all_closed = [&] { return crowd.all_left() && descriptors() == descriptors_before; };
    run_many(2000);  // what is allocated once, is
    EXPECT_TRUE(test::wait_for(all_closed)) << descriptors() << " for " << descriptors_before;
    const std::size_t heap_before = heap_in_use();

    run_many(static_cast<std::size_t>(test::sized(10'000)));
    EXPECT_TRUE(test::wait_for(all_closed)) << descriptors() << " for " << descriptors_before;
    // 25 bytes for each check: less than anything that one of them could leave.
    EXPECT_LT(heap_in_use(), heap_before + 250'000);
    // What the kernels' queues take is sent although nobody reads it, but no more.
    EXPECT_LT(crowd.most_sent(), std::uint64_t{64} << 20);
}

// Processes stop while checks are under way: their io_context goes with all that waits in it.
TEST(CheckedCrowd, EverythingIsClosedWhenTheLoopIsDestroyed) {
    allow_many_descriptors();
    for (const int turns : {0, 1, 10, 100, 1000}) {
        ProbeRunner runner;
        Crowd crowd(runner.context());
        const std::size_t before = descriptors();
        for (std::size_t i = 0; i < crowd.kinds(); ++i)
            runner.start(crowd.probe(i), crowd.target(i), long_timeout, [](const ProbeResult&) {});
        for (int i = 0; i < turns; ++i) runner.context().poll_one();
        EXPECT_GT(runner.running(), 0U);
        runner.destroy_context();
        EXPECT_TRUE(test::wait_for([&] { return crowd.all_left() && descriptors() == before; }))
            << turns;
    }
}

// An upstream may go while its backends are being checked.
TEST_F(CrowdTest, ChecksGoOnWithoutTheirProbe) {
    RudeServer polite({.waits_for_word = true, .says = "HTTP/1.1 200 OK\r\n\r\nnever"});
    std::vector<std::unique_ptr<Probe>> probes;
    std::vector<bool> results;
    for (const CheckType type : {CheckType::tcp, CheckType::http, CheckType::exchange}) {
        probes.push_back(make_probe(runner.context(), upstream_for(type), {}));
        runner.start(*probes.back(), target_at(polite.text()), long_timeout,
                     [&](const ProbeResult& result) { results.push_back(result.ok); });
    }
    const RudeServer hang({});
    probes.push_back(make_probe(runner.context(), upstream_for(CheckType::tls), {}));
    runner.start(*probes.back(), target_at(hang.text()), 50ms,
                 [&](const ProbeResult& result) { results.push_back(!result.ok); });
    probes.clear();
    ASSERT_TRUE(runner.run_until([&] { return polite.accepted() == 3; }));
    polite.speak_now();
    runner.run_all();
    EXPECT_EQ(results, (std::vector<bool>(4, true)));
}

class StallTest : public testing::Test {
protected:
    StallTest() { allow_many_descriptors(); }

    /// A check that the server answers when it is told to; due at `deadline`.
    void start(RudeServer& server, TimePoint deadline) {
        runner.start(*probe_, target_at(server.text()), deadline,
                     [this](const ProbeResult& result) {
                         ++(result.ok ? good : bad);
                         if (!result.ok) last_detail = result.detail;
                     });
    }

    /// False, and nothing is under way any more, when the machine took a second for them.
    bool all_ask(const RudeServer& server, unsigned count) {
        EXPECT_TRUE(runner.run_until([&] { return server.asked() == count || bad > 0; }));
        if (bad == 0) return true;
        runner.run_all();
        return false;
    }

    static void stand_still_until(TimePoint until) {
        const TimePoint now = SteadyClock().now();
        // The stall itself; nothing is waited for.
        if (until > now) std::this_thread::sleep_for(until - now);
    }

    ProbeRunner runner;
    unsigned good = 0;
    unsigned bad = 0;
    std::string last_detail;

private:
    static config::Upstream expecting() {
        auto upstream = upstream_with(CheckType::exchange, 1s);
        upstream.health_check.exchange = {.send = "ping", .expect = "pong"};
        return upstream;
    }
    std::unique_ptr<Probe> probe_ = make_probe(runner.context(), expecting(), {});
};

const Manners answers_when_told{.waits_for_request = true, .waits_for_word = true, .says = "pong"};

TEST_F(StallTest, R10AStallFailsNoCheckWhoseAnswerHasCome) {
    EXPECT_TRUE(test::in_one_of_three_windows([&] {
        good = bad = 0;
        RudeServer server(answers_when_told);
        const TimePoint deadline = SteadyClock().now() + test::scaled(1s);
        for (int i = 0; i < 50; ++i) start(server, deadline);
        if (!all_ask(server, 50)) return false;
        server.speak_now();
        EXPECT_TRUE(test::wait_for([&] { return server.spoken() == 50; }));
        stand_still_until(deadline + 300ms);
        runner.run_all();
        EXPECT_EQ(good, 50U) << last_detail;
        return true;
    }));
}

// Less than what counts as a stall, and more connections than the loop looks at in one turn. The
// timer of the first check is due before any answer is there, those of the others are not.
TEST_F(StallTest, R10WhatCameBeforeALateTimerIsHandledFirst) {
    EXPECT_TRUE(test::in_one_of_three_windows([&] {
        good = bad = 0;
        RudeServer silent({});
        RudeServer server(answers_when_told);
        constexpr unsigned many = 400;
        const TimePoint first = SteadyClock().now() + test::scaled(1s);
        start(silent, first);
        for (unsigned i = 0; i < many; ++i) start(server, first + 40ms);
        if (!all_ask(server, many)) return false;
        stand_still_until(first + 2ms);
        server.speak_now();
        EXPECT_TRUE(test::wait_for([&] { return server.spoken() == many; }));
        stand_still_until(first + 60ms);
        runner.run_all();
        EXPECT_EQ(good, many) << last_detail;
        EXPECT_EQ(bad, 1U);
        return true;
    }));
}

}  // namespace
}  // namespace penstock::health
