// What the operator sees of sessions: ids, and the ones that ended last.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "proxy/inspect/closed_sessions.hpp"
#include "proxy/inspect/session_info.hpp"

namespace penstock::proxy {
namespace {

TEST(ConnectionIds, are_read_as_they_are_written) {
    for (const ConnectionId id : {ConnectionId{0, 0}, ConnectionId{0xb59bc678098cdc5d, 7},
                                  ConnectionId{~std::uint64_t{0}, std::uint64_t{3} << 48 | 12}}) {
        const auto parsed = parse_connection_id(to_string(id));
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->process, id.process);
        EXPECT_EQ(parsed->sequence, id.sequence);
    }
    EXPECT_EQ(worker_of({1, std::uint64_t{3} << 48 | 12}), 3U);
    for (const char* text :
         {"", "1", "0000000000000000000000000000000g", "-0000000000000000000000000000001",
          "000000000000000000000000000000001", " 000000000000000000000000000000"})
        EXPECT_FALSE(parse_connection_id(text)) << text;
}

ClosedSession closed(std::uint64_t number, CloseReason reason, std::string_view upstream) {
    return {.record = {.event = LogRecord::Event::close,
                       .accepted = WallTime(std::chrono::seconds(number)),
                       .id = {1, number},
                       .listener = "in",
                       .worker = 0,
                       .client = {},
                       .local = {},
                       .upstream = upstream,
                       .backend_local = {},
                       .failed_attempts = {},
                       .duration_us = 1'500'000,
                       .reason = reason,
                       .detail = {}},
            .listener = nullptr,
            .upstream = nullptr,
            .backend = nullptr,
            .failed_attempts = {}};
}

std::uint64_t number_of(const ClosedLine& line) {
    const auto object = boost::json::parse(line.json);
    return parse_connection_id(object.at("id").as_string())->sequence;
}

TEST(ClosedSessions, the_newest_come_first_also_around_the_end_of_the_ring) {
    ClosedSessions ring;
    EXPECT_TRUE(ring.list({}).empty());
    for (std::uint64_t i = 1; i <= ClosedSessions::capacity + 7; ++i) {
        ring.add(closed(i, CloseReason::completed, "web"));
        ASSERT_EQ(number_of(ring.list({.limit = 1}).front()), i);
    }
    const auto all = ring.list({});
    ASSERT_EQ(all.size(), ClosedSessions::capacity);
    for (std::size_t i = 0; i < all.size(); ++i)
        ASSERT_EQ(number_of(all[i]), ClosedSessions::capacity + 7 - i);
    EXPECT_EQ(all.front().ended - all.back().ended, std::chrono::seconds(all.size() - 1));
}

TEST(ClosedSessions, are_filtered_by_reason_and_upstream) {
    ClosedSessions ring;
    ring.add(closed(1, CloseReason::completed, "web"));
    ring.add(closed(2, CloseReason::killed, "web"));
    ring.add(closed(3, CloseReason::killed, "db"));
    ring.add(closed(4, CloseReason::denied, ""));
    EXPECT_EQ(ring.list({.reason = CloseReason::killed}).size(), 2U);
    EXPECT_EQ(ring.list({.upstream = "web"}).size(), 2U);
    const auto both = ring.list({.reason = CloseReason::killed, .upstream = "web"});
    ASSERT_EQ(both.size(), 1U);
    EXPECT_EQ(number_of(both.front()), 2U);
}

}  // namespace
}  // namespace penstock::proxy
