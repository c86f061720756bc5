#include "proxy/deadlines.hpp"

#include <gtest/gtest.h>

#include "proxy/dead_peer.hpp"

namespace penstock::proxy {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const TimePoint start = ManualClock().now();
constexpr RelayTimeouts defaults{hours(1), minutes(1), seconds(30)};

TEST(Deadlines, A5_an_open_relay_waits_for_its_idle_time_out) {
    const auto next = next_deadline({.last_activity = start}, defaults);
    EXPECT_EQ(next.kind, DeadlineKind::idle);
    EXPECT_EQ(next.at, start + hours(1));
}

TEST(Deadlines, A5_half_closed_counts_from_the_fin_or_the_last_byte_after_it) {
    RelayTimes times{.last_activity = start, .half_closed_since = start + seconds(5)};
    EXPECT_EQ(next_deadline(times, defaults).at, start + seconds(65));
    EXPECT_EQ(next_deadline(times, defaults).kind, DeadlineKind::half_closed);
    times.last_activity = start + seconds(20);
    EXPECT_EQ(next_deadline(times, defaults).at, start + seconds(80));
}

TEST(Deadlines, the_nearest_one_wins) {
    const RelayTimes times{.last_activity = start,
                           .lifetime_ends = start + seconds(3),
                           .milestone_due = start + seconds(2),
                           .peer_check_due = start + seconds(1)};
    EXPECT_EQ(next_deadline(times, defaults).kind, DeadlineKind::check_peers);
    EXPECT_EQ(next_deadline(times, {Duration(1), minutes(1), never}).kind, DeadlineKind::idle);
}

TEST(Deadlines, a_direction_that_pauses_for_its_rate_is_neither_idle_nor_half_closed) {
    const TimePoint later = start + seconds(10);
    const RelayTimes times{
        .last_activity = start, .half_closed_since = start, .paused_until = later};
    const RelayTimeouts shorter{seconds(1), seconds(1), never};
    EXPECT_EQ(next_deadline(times, shorter).kind, DeadlineKind::end_pause);
    EXPECT_EQ(next_deadline(times, shorter).at, later);
    EXPECT_EQ(next_deadline(times, {never, never, never}).kind, DeadlineKind::end_pause);
    RelayTimes mortal = times;
    mortal.lifetime_ends = start + seconds(2);
    EXPECT_EQ(next_deadline(mortal, shorter).kind, DeadlineKind::lifetime);
}

TEST(Deadlines, only_explicit_nevers_leave_a_relay_without_one) {
    EXPECT_EQ(next_deadline({.last_activity = start}, {never, never, never}).kind,
              DeadlineKind::nothing);
    EXPECT_EQ(next_deadline({.last_activity = start, .half_closed_since = start},
                            {never, minutes(1), never})
                  .kind,
              DeadlineKind::half_closed);
}

TEST(Deadlines, lifetime_jitter_stays_within_its_share) {
    EXPECT_EQ(jittered_lifetime(never, 0.1, 0.5), never);
    EXPECT_EQ(jittered_lifetime(seconds(100), 0.0, 0.9), seconds(100));
    EXPECT_EQ(jittered_lifetime(seconds(100), 0.1, 0.0), seconds(90));
    EXPECT_LE(jittered_lifetime(seconds(100), 0.1, 0.999999), seconds(110));
    EXPECT_EQ(jittered_lifetime(never - Duration(1), 1.0, 0.999), never);
}

class DeadPeerTest : public testing::Test {
protected:
    using Verdict = DeadPeerJudge::Verdict;
    static constexpr Duration timeout = seconds(30);
    DeadPeerJudge judge;
    TimePoint now = start;

    static net::DeliveryInfo info(std::uint64_t acked, std::uint32_t unacked, Duration since_ack,
                                  std::uint32_t probes = 0, std::uint32_t unsent = 0) {
        return {acked, unacked, unsent, probes, since_ack};
    }
};

TEST_F(DeadPeerTest, nothing_outstanding_is_clean) {
    EXPECT_EQ(judge.sample(info(10, 0, hours(2)), now, timeout), Verdict::clean);
}

TEST_F(DeadPeerTest, no_ack_between_two_samples_a_time_out_apart_is_dead) {
    EXPECT_EQ(judge.sample(info(10, 2, seconds(1)), now, timeout), Verdict::outstanding);
    now += timeout;
    EXPECT_EQ(judge.sample(info(10, 2, seconds(31)), now, timeout), Verdict::dead);
}

TEST_F(DeadPeerTest, one_sample_is_never_enough) {
    EXPECT_EQ(judge.sample(info(10, 2, hours(1)), now, timeout), Verdict::outstanding)
        << "an idle connection that has just sent: the last ACK is old by nature";
}

TEST_F(DeadPeerTest, progress_starts_the_count_anew) {
    std::ignore = judge.sample(info(10, 2, seconds(31)), now, timeout);
    now += timeout;
    EXPECT_EQ(judge.sample(info(11, 2, seconds(29)), now, timeout), Verdict::outstanding);
    now += seconds(1);
    EXPECT_EQ(judge.sample(info(11, 2, seconds(30)), now, timeout), Verdict::outstanding);
    now += timeout;
    EXPECT_EQ(judge.sample(info(11, 2, seconds(60)), now, timeout), Verdict::dead);
}

TEST_F(DeadPeerTest, a_live_peer_that_does_not_read_answers_its_probes) {
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(judge.sample(info(10, 0, seconds(2), 0, 5000), now, timeout),
                  Verdict::outstanding);
        now += timeout;
    }
}

TEST_F(DeadPeerTest, unanswered_probes_at_a_closed_window_are_dead) {
    std::ignore = judge.sample(info(10, 0, seconds(2), 0, 5000), now, timeout);
    now += timeout;
    EXPECT_EQ(judge.sample(info(10, 0, seconds(32), 3, 5000), now, timeout), Verdict::dead);
}

}  // namespace
}  // namespace penstock::proxy
