// Workers pass a circuit and report, while the control thread switches it.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "balancer/outcomes.hpp"
#include "base/random.hpp"

namespace penstock::balancer {
namespace {

constexpr std::size_t workers = 4;

template <typename Work>
std::vector<std::jthread> start(Work work) {
    std::vector<std::jthread> threads;
    for (std::size_t n = 0; n < workers; ++n) threads.emplace_back([work, n] { work(n); });
    return threads;
}

TEST(CircuitThreads, permits_are_given_out_exactly) {
    constexpr std::uint32_t permits = 700;
    for (int round = 0; round < 50; ++round) {
        Circuit circuit;
        circuit.half_open(permits);
        std::atomic<std::uint32_t> taken{0};
        {
            const auto threads = start([&](std::size_t) {
                while (const auto pass = circuit.try_pass()) {
                    ++taken;
                    circuit.finish_trial(*pass, pass->generation % 2 == 0);
                }
            });
        }
        EXPECT_EQ(taken, permits);
        EXPECT_EQ(circuit.trials().succeeded + circuit.trials().failed, permits);
    }
}

TEST(CircuitThreads, no_more_trials_are_out_than_allowed_while_permits_come_and_go) {
    constexpr std::int32_t permits = 3;
    Circuit circuit;
    circuit.half_open(permits);
    std::atomic<std::int32_t> out{0};
    std::atomic<std::int32_t> most{0};
    {
        const auto threads = start([&](std::size_t) {
            for (int n = 0; n < 50'000; ++n) {
                const auto pass = circuit.try_pass();
                if (!pass) continue;
                const std::int32_t now = ++out;
                std::int32_t seen = most;
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
                --out;
                circuit.give_back(*pass);
            }
        });
    }
    EXPECT_LE(most, permits);
    EXPECT_GE(most, 1);
    EXPECT_EQ(circuit.trials().left, static_cast<std::uint32_t>(permits));
}

// Each generation is one half-open state with a number of permits that only the control thread
// knows; what the workers did in it must fit.
TEST(CircuitThreads, generations_switch_under_way_and_never_mix) {
    constexpr int switches = 5000;
    constexpr std::uint32_t permits = 5;
    Outcomes outcomes;
    Circuit& circuit = outcomes.circuit();
    circuit.open();
    std::atomic<bool> stop{false};
    // Trials taken, by generation: the first is 1 (open), each switch adds one.
    std::vector<std::atomic<std::uint32_t>> taken(switches + 2);
    auto threads = start([&](std::size_t n) {
        Random random(n);
        std::vector<CircuitPass> kept;  // to be reported late
        while (!stop) {
            if (const auto pass = circuit.try_pass()) {
                if (pass->trial) ++taken[pass->generation];
                kept.push_back(*pass);
            }
            if (kept.size() < 4 && random.below(2) == 0) continue;
            while (!kept.empty()) {
                const CircuitPass pass = kept.back();
                kept.pop_back();
                const auto dice = random.below(3);
                if (dice == 0)
                    (void)outcomes.succeeded(pass);
                else if (dice == 1)
                    (void)outcomes.failed(pass, Failure::timeout);
                else
                    circuit.finish_trial(pass, true);
            }
        }
    });
    for (int n = 0; n < switches; ++n) {
        const Circuit::Trials before = circuit.trials();
        EXPECT_LE(before.left + before.succeeded + before.failed, permits);
        // Some generations last until a worker has been there.
        while (n % 10 == 1 && circuit.trials().left == permits) std::this_thread::yield();
        if (n % 3 == 2)
            circuit.open();
        else
            circuit.half_open(permits);
    }
    stop = true;
    threads.clear();
    std::uint64_t sum = 0;
    for (const auto& n : taken) {
        EXPECT_LE(n, permits);
        sum += n;
    }
    EXPECT_GE(sum, static_cast<std::uint64_t>(switches / 20));
}

TEST(CircuitThreads, stale_outcomes_are_never_counted) {
    Outcomes outcomes;
    outcomes.set_alarm(1);
    std::array<std::vector<CircuitPass>, workers> passes;
    for (auto& mine : passes)
        for (int n = 0; n < 50'000; ++n) mine.push_back(*outcomes.circuit().try_pass());
    outcomes.circuit().open();
    std::atomic<int> alarms{0};
    std::atomic<bool> stop{false};
    std::atomic<int> turns{0};
    std::jthread control([&] {
        for (; !stop; ++turns) {
            outcomes.circuit().half_open(4);
            (void)outcomes.totals();
            outcomes.circuit().close();
            outcomes.circuit().open();
        }
    });
    {
        const auto threads = start([&](std::size_t n) {
            while (turns == 0) std::this_thread::yield();
            for (const CircuitPass pass : passes.at(n)) {
                if (n % 2 == 0 ? outcomes.succeeded(pass) : outcomes.failed(pass, Failure::refused))
                    ++alarms;
                outcomes.circuit().give_back(pass);
            }
        });
    }
    stop = true;
    control.join();
    const OutcomeTotals totals = outcomes.totals();
    EXPECT_EQ(totals.successes + totals.failed() + totals.consecutive, 0U);
    EXPECT_EQ(alarms, 0);
}

TEST(CircuitThreads, one_alarm_for_a_threshold_whoever_reaches_it) {
    for (int round = 0; round < 200; ++round) {
        Outcomes outcomes;
        outcomes.set_alarm(10);
        std::atomic<int> alarms{0};
        {
            const auto threads = start([&](std::size_t) {
                for (int n = 0; n < 25; ++n)
                    if (outcomes.failed(*outcomes.circuit().try_pass(), Failure::refused)) ++alarms;
            });
        }
        EXPECT_EQ(alarms, 1);
        EXPECT_EQ(outcomes.totals().consecutive, 25 * workers);
        EXPECT_EQ(outcomes.totals().failed(), 25 * workers);
    }
}

}  // namespace
}  // namespace penstock::balancer
