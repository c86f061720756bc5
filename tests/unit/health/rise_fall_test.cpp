#include "health/check/rise_fall.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace penstock::health {
namespace {

using config::CheckInitial;
using State = RiseFall::State;
using Change = RiseFall::Change;

TEST(RiseFall, every_transition) {
    struct Case {
        std::vector<bool> before;  // results from `initial` on
        CheckInitial initial;
        State from;
        bool ok;
        State to;
        Change change;
    };
    // rise 2, fall 3
    const Case cases[] = {
        {{}, CheckInitial::check, State::pending, true, State::up, Change::went_up},
        {{}, CheckInitial::check, State::pending, false, State::down, Change::went_down},
        {{}, CheckInitial::up, State::up, true, State::up, Change::none},
        {{}, CheckInitial::up, State::up, false, State::falling, Change::none},
        {{false}, CheckInitial::up, State::falling, true, State::up, Change::none},
        {{false}, CheckInitial::up, State::falling, false, State::falling, Change::none},
        {{false, false}, CheckInitial::up, State::falling, true, State::up, Change::none},
        {{false, false}, CheckInitial::up, State::falling, false, State::down, Change::went_down},
        {{}, CheckInitial::down, State::down, false, State::down, Change::none},
        {{}, CheckInitial::down, State::down, true, State::rising, Change::none},
        {{true}, CheckInitial::down, State::rising, false, State::down, Change::none},
        {{true}, CheckInitial::down, State::rising, true, State::up, Change::went_up},
        // A row that was broken starts over.
        {{false, false, true, false, false},
         CheckInitial::up,
         State::falling,
         true,
         State::up,
         Change::none},
        {{true, false, true}, CheckInitial::down, State::rising, true, State::up, Change::went_up},
        // After a first verdict the thresholds apply.
        {{true, false, false},
         CheckInitial::check,
         State::falling,
         false,
         State::down,
         Change::went_down},
        {{false, true}, CheckInitial::check, State::rising, true, State::up, Change::went_up},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(&c - cases);
        RiseFall check(2, 3, c.initial);
        for (const bool ok : c.before) check.on_result(ok);
        ASSERT_EQ(check.state(), c.from);
        EXPECT_EQ(check.on_result(c.ok), c.change);
        EXPECT_EQ(check.state(), c.to);
        EXPECT_EQ(check.up(), c.to == State::up || c.to == State::falling);
        EXPECT_EQ(check.transitional(), c.to == State::falling || c.to == State::rising);
    }
}

TEST(RiseFall, thresholds_of_one_turn_at_once) {
    RiseFall check(1, 1, CheckInitial::up);
    EXPECT_EQ(check.on_result(false), Change::went_down);
    EXPECT_EQ(check.on_result(true), Change::went_up);
}

TEST(RiseFall, counts_results_against_the_verdict) {
    RiseFall check(5, 7, CheckInitial::up);
    for (std::uint32_t n = 1; n < 7; ++n) {
        check.on_result(false);
        EXPECT_EQ(check.against(), n);
        EXPECT_TRUE(check.up());
    }
    check.on_result(true);
    EXPECT_EQ(check.against(), 0U);
}

TEST(RiseFall, after_a_restart_the_first_result_decides_whatever_was_before) {
    for (const auto initial : {CheckInitial::check, CheckInitial::up, CheckInitial::down}) {
        RiseFall check(2, 3, initial);
        check.on_result(false);
        check.restart();
        EXPECT_TRUE(check.pending());
        EXPECT_TRUE(check.transitional());
        EXPECT_EQ(check.on_result(true), Change::went_up);
        check.restart();
        EXPECT_EQ(check.on_result(false), Change::went_down);
    }
}

TEST(RiseFall, another_rise_and_fall_count_from_the_next_result_and_the_verdict_stays) {
    RiseFall check(2, 3, CheckInitial::up);
    check.on_result(false);
    check.configure(2, 2);
    EXPECT_TRUE(check.up());
    EXPECT_EQ(check.against(), 1U) << "what was seen is not forgotten";
    EXPECT_EQ(check.on_result(false), Change::went_down);
    check.configure(1, 2);
    EXPECT_FALSE(check.up());
    EXPECT_EQ(check.on_result(true), Change::went_up);
    check.on_result(false);
    check.configure(1, 5);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(check.on_result(false), Change::none);
    EXPECT_EQ(check.on_result(false), Change::went_down);
    // More are there already than would do.
    RiseFall other(1, 5, CheckInitial::up);
    for (int i = 0; i < 4; ++i) other.on_result(false);
    other.configure(1, 2);
    EXPECT_TRUE(other.up());
    EXPECT_EQ(other.on_result(false), Change::went_down);
}

}  // namespace
}  // namespace penstock::health
