#include "app/ledger/gone_ledger.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using std::chrono::seconds;

Ledger ledger_of(const std::string& listener, const std::string& upstream,
                 const std::string& backend) {
    Ledger ledger;
    auto& of = ledger.listeners[listener];
    of.totals.accepted = 5;
    of.routes[upstream].closed[0] = 5;
    ledger.upstreams[upstream].retries = 5;
    ledger.lookups[upstream].failed = 5;
    ledger.backends[{upstream, backend}].established = 5;
    ledger.process.reloads_failed = 5;
    ledger.workers[0].busy_us = 5;
    return ledger;
}

class Gone : public testing::Test {
protected:
    GoneLedger gone;
    TimePoint now{};
};

TEST_F(Gone, counts_of_names_that_somebody_knows_stay) {
    gone.add(ledger_of("web", "up", "a"));
    gone.add(ledger_of("web", "up", "a"));
    for (int minute = 0; minute < 60; ++minute)
        gone.forget(ledger_of("web", "up", "a"), now += seconds(60));
    EXPECT_EQ(gone.sum().listeners.at("web").totals.accepted, 10U);
    EXPECT_EQ(gone.sum().listeners.at("web").routes.at("up").closed[0], 10U);
    EXPECT_EQ(gone.sum().lookups.at("up").failed, 10U);
    EXPECT_EQ((gone.sum().backends.at({"up", "a"}).established), 10U);
}

TEST_F(Gone, what_nobody_knows_is_forgotten_after_a_while_and_no_sooner) {
    gone.add(ledger_of("web", "up", "a"));
    const auto others = ledger_of("other", "another", "a");
    gone.forget(others, now);
    gone.forget(others, now + GoneLedger::remembered - seconds(1));
    EXPECT_FALSE(gone.empty());
    EXPECT_EQ(gone.sum().upstreams.at("up").retries, 5U);
    gone.forget(others, now + GoneLedger::remembered);
    EXPECT_TRUE(gone.empty());
    EXPECT_TRUE(gone.sum().lookups.empty());
    // These have no names.
    EXPECT_EQ(gone.sum().process.reloads_failed, 5U);
    EXPECT_EQ(gone.sum().workers.at(0).busy_us, 5U);
}

TEST_F(Gone, only_the_part_that_has_left_is_forgotten) {
    gone.add(ledger_of("web", "up", "a"));
    gone.add(ledger_of("web", "up", "b"));
    gone.add(ledger_of("web", "old", "a"));
    const auto present = ledger_of("web", "up", "b");
    gone.forget(present, now);
    gone.forget(present, now + GoneLedger::remembered);
    EXPECT_EQ(gone.sum().listeners.at("web").totals.accepted, 15U);
    EXPECT_EQ(gone.sum().listeners.at("web").routes.size(), 1U);
    EXPECT_EQ(gone.sum().upstreams.size(), 1U);
    EXPECT_EQ(gone.sum().backends.size(), 1U);
    EXPECT_TRUE(gone.sum().backends.contains({"up", "b"}));
}

TEST_F(Gone, who_comes_back_in_time_begins_anew_to_be_away) {
    gone.add(ledger_of("web", "up", "a"));
    gone.forget({}, now);
    gone.forget(ledger_of("web", "up", "a"), now + GoneLedger::remembered - seconds(1));
    gone.forget({}, now + GoneLedger::remembered);
    EXPECT_EQ((gone.sum().backends.at({"up", "a"}).established), 5U);
    EXPECT_EQ(gone.sum().listeners.at("web").routes.size(), 1U);
    gone.forget({}, now + 2 * GoneLedger::remembered);
    EXPECT_TRUE(gone.empty());
}

}  // namespace
}  // namespace penstock::app
