#include "balancer/least_latency.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;
using testing::noon;

TEST(LeastLatency, of_two_the_one_where_a_client_waits_less_wins) {
    struct Server {
        std::uint32_t weight;
        std::uint32_t active;
        Duration took;  // 0 = no sample yet
    };
    struct Case {
        const char* what;
        Server one;
        Server two;
        int always;  // -1: either
    };
    const Case cases[] = {
        {"faster", {1, 0, 10ms}, {1, 0, 50ms}, 0},
        {"faster but busier", {1, 9, 10ms}, {1, 0, 50ms}, 1},
        {"busier but still faster", {1, 3, 10ms}, {1, 0, 50ms}, 0},
        {"about as fast", {1, 0, 10ms}, {1, 0, 11ms}, -1},
        {"about as fast, equally busy", {1, 5, 10ms}, {1, 5, 12ms}, -1},
        {"about as fast, not as busy", {1, 5, 10ms}, {1, 4, 10ms}, 1},
        {"both below a millisecond", {1, 0, 10us}, {1, 0, 900us}, -1},
        {"weights, both idle", {3, 0, 10ms}, {1, 0, 10ms}, -1},
        {"loaded alike for their weights", {3, 6, 10ms}, {1, 2, 10ms}, -1},
        {"busier for its weight", {3, 9, 10ms}, {1, 2, 10ms}, 1},
        {"unknown and idle is tried", {1, 0, 10ms}, {1, 0, 0ms}, 1},
        {"unknown and busy waits for its answer", {1, 50, 10ms}, {1, 1, 0ms}, 0},
        {"a flood is worse than the unknown", {1, 500, 10ms}, {1, 1, 0ms}, 1},
        {"two unknown", {1, 0, 0ms}, {1, 0, 0ms}, -1},
        {"two unknown, one busy", {1, 1, 0ms}, {1, 0, 0ms}, 1},
    };
    for (const auto& c : cases) {
        const auto set = testing::make_set_of_weights({c.one.weight, c.two.weight});
        for (std::uint32_t i = 0; i < 2; ++i) {
            const Server& server = i == 0 ? c.one : c.two;
            for (std::uint32_t n = 0; n < server.active; ++n) set->backend(i).session_started();
            if (server.took != 0ms) set->backend(i).latency().record(server.took, noon);
        }
        Selector selector(set, {.kind = PolicyKind::least_latency}, 3);
        const auto counts = testing::count_picks(selector, 1000);
        if (c.always >= 0) {
            EXPECT_EQ(counts[static_cast<std::size_t>(c.always)], 1000U) << c.what;
        } else {
            EXPECT_TRUE(counts[0] > 0 && counts[1] > 0) << c.what;
        }
    }
}

// Clients arrive at an even pace; each session ends when its backend has answered. In virtual time.
class Traffic {
public:
    // How long a backend takes for one that comes at a time since the start.
    using Service = std::function<Duration(std::uint32_t backend, Duration since)>;

    Traffic(std::size_t backends, std::uint64_t seed, Service service)
        : set_(testing::make_set(std::vector<testing::Member>(backends))),
          selector_(set_, {.kind = PolicyKind::least_latency}, seed),
          service_(std::move(service)) {}

    // The shares of the clients that come from now on for `span`.
    std::vector<double> run(Duration span, Duration pace = 1ms) {
        std::vector<double> shares(set_->size());
        double clients = 0;
        for (const TimePoint end = now_ + span; now_ < end; now_ += pace) {
            finish();
            const std::uint32_t i = testing::pick(selector_, {}, now_).value();
            const Duration took = service_(i, now_ - noon);
            set_->backend(i).session_started();
            answers_.push({now_ + took, took, i});
            highest_[i] = std::max(highest_[i], set_->backend(i).active());
            ++shares[i];
            ++clients;
        }
        for (double& share : shares) share /= clients;
        return shares;
    }
    std::uint32_t highest_active(std::size_t i) const { return highest_[i]; }
    BackendSet const& set() const { return *set_; }

private:
    struct Answer {
        TimePoint at;
        Duration took;
        std::uint32_t backend;
        bool operator>(const Answer& other) const { return at > other.at; }
    };
    void finish() {
        while (!answers_.empty() && answers_.top().at <= now_) {
            const Answer answer = answers_.top();
            answers_.pop();
            Backend& backend = set_->backend(answer.backend);
            backend.latency().record(answer.took, answer.at);
            backend.session_ended();
        }
    }

    std::shared_ptr<const BackendSet> set_;
    Selector selector_;
    Service service_;
    TimePoint now_ = noon;
    std::vector<std::uint32_t> highest_ = std::vector<std::uint32_t>(set_->size());
    std::priority_queue<Answer, std::vector<Answer>, std::greater<>> answers_;
};

Duration exponential(Random& random, Duration mean) {
    return std::chrono::duration_cast<Duration>(-std::log(1 - random.unit()) * mean);
}

TEST(LeastLatency, identical_servers_never_starve) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
        Random random(seed + 100);
        Traffic traffic(4, seed, [&](auto, auto) { return exponential(random, 20ms); });
        for (int window = 0; window < 6; ++window)
            for (const double share : traffic.run(10s)) EXPECT_GT(share, 0.1) << seed;
    }
    // With hardly any load, so that only the latency speaks.
    Random random(7);
    Traffic idle(4, 1, [&](auto, auto) { return exponential(random, 20ms); });
    for (int window = 0; window < 6; ++window)
        for (const double share : idle.run(60s, 100ms)) EXPECT_GT(share, 0.05);
}

TEST(LeastLatency, a_server_that_stalls_is_avoided_and_comes_back) {
    for (const Duration pace : {1ms, 20ms}) {
        Random random(3);
        Traffic traffic(4, 1, [&](std::uint32_t backend, Duration since) {
            const bool stalls = backend == 2 && since >= 20s && since < 60s;
            return stalls ? Duration(3s) : exponential(random, 20ms);
        });
        EXPECT_GT(traffic.run(20s, pace)[2], 0.1);
        EXPECT_LT(traffic.run(40s, pace)[2], 0.05);
        traffic.run(120s, pace);  // until what it was has decayed
        EXPECT_GT(traffic.run(30s, pace)[2], 0.1);
    }
}

TEST(LeastLatency, one_spike_does_not_banish_for_good) {
    Random random(3);
    Traffic traffic(3, 1, [&](auto, auto) { return exponential(random, 20ms); });
    traffic.run(5s);
    traffic.set().backend(0).latency().fail(noon + 5s, 60s);
    EXPECT_LT(traffic.run(10s)[0], 0.01);
    traffic.run(120s);
    EXPECT_GT(traffic.run(10s)[0], 0.15);
}

TEST(LeastLatency, a_slower_server_gets_less_but_not_nothing) {
    Random random(3);
    Traffic traffic(4, 1, [&](std::uint32_t backend, Duration) {
        return exponential(random, backend == 3 ? 60ms : 20ms);
    });
    traffic.run(10s);
    const auto shares = traffic.run(60s);
    EXPECT_LT(shares[3], 0.2);
    EXPECT_GT(shares[3], 0.02);
}

TEST(LeastLatency, a_new_server_is_tried_and_not_flooded_before_it_has_answered) {
    Random random(3);
    Traffic traffic(4, 1, [&](std::uint32_t backend, Duration) {
        return backend == 1 ? Duration(500ms) : exponential(random, 20ms);
    });
    for (const std::size_t known : {0U, 2U, 3U})
        traffic.set().backend(known).latency().record(20ms, noon);
    EXPECT_GT(traffic.run(100ms)[1], 0);
    EXPECT_LE(traffic.highest_active(1), 2U);
}

TEST(LeastLatency, failures_count_as_slow_however_fast_they_are) {
    const auto set = testing::make_set(std::vector<testing::Member>(4));
    Selector selector(set, {.kind = PolicyKind::least_latency}, 1);
    std::uint64_t failed = 0;
    TimePoint now = noon;
    for (int n = 0; n < 20'000; ++n, now += 1ms) {
        Backend& backend = set->backend(testing::pick(selector, {}, now).value());
        if (&backend == &set->backend(0)) {
            ++failed;
            backend.latency().fail(now, 4s);
        } else {
            backend.latency().record(10ms, now);
        }
    }
    EXPECT_GE(failed, 1U);
    EXPECT_LE(failed, 3U);
}

}  // namespace
}  // namespace penstock::balancer
