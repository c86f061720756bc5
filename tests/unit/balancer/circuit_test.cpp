#include "balancer/circuit.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace penstock::balancer {
namespace {

TEST(Circuit, closed_lets_all_pass_without_trials) {
    Circuit circuit;
    EXPECT_EQ(circuit.state(), CircuitState::closed);
    for (int n = 0; n < 5000; ++n) {
        const auto pass = circuit.try_pass();
        ASSERT_TRUE(pass);
        EXPECT_FALSE(pass->trial);
        EXPECT_TRUE(circuit.is_current(*pass));
    }
    EXPECT_TRUE(circuit.passable());
    EXPECT_FALSE(circuit.finish_trial(*circuit.try_pass(), true)) << "it is no trial";
}

TEST(Circuit, open_lets_nobody_pass) {
    Circuit circuit;
    const auto before = circuit.try_pass();
    circuit.open();
    EXPECT_EQ(circuit.state(), CircuitState::open);
    EXPECT_FALSE(circuit.try_pass());
    EXPECT_FALSE(circuit.passable());
    EXPECT_FALSE(circuit.is_current(*before)) << "what comes of it is stale";
}

TEST(Circuit, half_open_gives_out_its_permits_once) {
    Circuit circuit;
    circuit.half_open(3);
    std::vector<CircuitPass> passes;
    for (int n = 0; n < 3; ++n) {
        EXPECT_TRUE(circuit.passable());
        passes.push_back(*circuit.try_pass());
        EXPECT_TRUE(passes.back().trial);
    }
    EXPECT_FALSE(circuit.try_pass());
    EXPECT_FALSE(circuit.passable());
    EXPECT_TRUE(circuit.finish_trial(passes[0], true));
    EXPECT_TRUE(circuit.finish_trial(passes[1], false));
    EXPECT_FALSE(circuit.try_pass()) << "a finished trial does not free its permit";
    EXPECT_EQ(circuit.trials().left, 0U);
    EXPECT_EQ(circuit.trials().succeeded, 1U);
    EXPECT_EQ(circuit.trials().failed, 1U);
    circuit.give_back(passes[2]);
    EXPECT_EQ(circuit.trials().left, 1U);
    EXPECT_TRUE(circuit.try_pass());
}

TEST(Circuit, each_switch_makes_what_was_before_stale) {
    const auto turns = {+[](Circuit& c) { c.close(); }, +[](Circuit& c) { c.open(); },
                        +[](Circuit& c) { c.half_open(2); }};
    for (const auto& turn : turns) {
        Circuit circuit;
        circuit.half_open(2);
        const CircuitPass pass = *circuit.try_pass();
        turn(circuit);
        const auto before = circuit.trials();
        EXPECT_FALSE(circuit.is_current(pass));
        EXPECT_FALSE(circuit.finish_trial(pass, true));
        EXPECT_FALSE(circuit.finish_trial(pass, false));
        circuit.give_back(pass);
        EXPECT_EQ(circuit.trials().left, before.left);
        EXPECT_EQ(circuit.trials().succeeded, 0U);
        EXPECT_EQ(circuit.trials().failed, 0U);
    }
}

TEST(Circuit, half_open_again_renews_all_permits) {
    Circuit circuit;
    circuit.half_open(2);
    (void)circuit.try_pass();
    (void)circuit.try_pass();
    circuit.half_open(2);
    EXPECT_EQ(circuit.trials().left, 2U);
    EXPECT_TRUE(circuit.try_pass());
}

TEST(Circuit, pass_anyway_never_says_no_but_counts_only_with_a_permit) {
    Circuit circuit;
    EXPECT_TRUE(circuit.is_current(circuit.pass_anyway()));
    circuit.half_open(1);
    const CircuitPass trial = circuit.pass_anyway();
    EXPECT_TRUE(trial.trial);
    const CircuitPass forced = circuit.pass_anyway();
    EXPECT_FALSE(forced.trial);
    EXPECT_FALSE(circuit.is_current(forced));
    circuit.open();
    EXPECT_FALSE(circuit.is_current(circuit.pass_anyway()));
}

TEST(Circuit, the_most_trials_fit) {
    Circuit circuit;
    circuit.half_open(Circuit::max_trials);
    std::vector<CircuitPass> passes;
    while (const auto pass = circuit.try_pass()) passes.push_back(*pass);
    ASSERT_EQ(passes.size(), Circuit::max_trials);
    for (const CircuitPass pass : passes) EXPECT_TRUE(circuit.finish_trial(pass, true));
    EXPECT_EQ(circuit.trials().succeeded, Circuit::max_trials);
    EXPECT_EQ(circuit.trials().failed, 0U);
    EXPECT_EQ(circuit.state(), CircuitState::half_open);
    circuit.half_open(Circuit::max_trials);
    passes.clear();
    while (const auto pass = circuit.try_pass()) passes.push_back(*pass);
    for (const CircuitPass pass : passes) EXPECT_TRUE(circuit.finish_trial(pass, false));
    EXPECT_EQ(circuit.trials().failed, Circuit::max_trials);
    EXPECT_EQ(circuit.state(), CircuitState::half_open);
}

}  // namespace
}  // namespace penstock::balancer
