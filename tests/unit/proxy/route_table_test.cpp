#include "proxy/routing/route_table.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/clock.hpp"

namespace penstock::proxy {
namespace {

using Kind = RouteTable::Match::Kind;
using config::StartTls;

CompactEndpoint peer(const std::string& text) { return Endpoint::parse(text).value().ip(); }

PeerList networks(const std::vector<std::string>& list) {
    PeerList out;
    for (const auto& text : list) out.prefixes.push_back(Prefix::parse(text).value());
    return out;
}

/// What a client comes to: `own`, the name of `[listener.sni]`, or `#` and the place of the route.
class Table {
public:
    explicit Table(config::Listener listener) : settings_(std::move(listener)), table_(settings_) {}

    std::string find(std::string_view name, const std::vector<std::string>& alpn = {},
                     StartTls starttls = StartTls::none,
                     const std::string& from = "192.0.2.1:1") const {
        const CompactEndpoint client = peer(from);
        const auto match = table_.find(
            {.client = client, .server_name = name, .alpn = alpn, .starttls = starttls});
        if (match.kind == Kind::own) return "own";
        if (match.kind == Kind::name) return settings_.sni[match.index].name;
        return "#" + std::to_string(match.index);
    }
    const RouteTable* operator->() const { return &table_; }

private:
    config::Listener settings_;
    RouteTable table_;
};

config::Listener with_names(const std::vector<std::string>& names) {
    config::Listener listener;
    for (const auto& name : names) listener.sni.push_back({name, "up"});
    return listener;
}

config::Listener with_routes(std::vector<config::Route> routes) {
    config::Listener listener;
    listener.routes = std::move(routes);
    return listener;
}

struct NameCase {
    const char* name;
    const char* found;
};

TEST(RouteTable, S8_exact_names_go_before_patterns_and_long_patterns_before_short_ones) {
    const Table table(with_names(
        {"a.b.example", "*.b.example", "*.example", "*.deep.b.example", "xn--bcher-kva.example"}));
    for (const auto& [name, found] : {
             NameCase{"a.b.example", "a.b.example"},
             NameCase{"c.b.example", "*.b.example"},
             NameCase{"x.a.b.example", "*.b.example"},  // any number of labels
             NameCase{"x.deep.b.example", "*.deep.b.example"},
             NameCase{"deep.b.example", "*.b.example"},  // the star stands for one label at least
             NameCase{"b.example", "*.example"},
             NameCase{"xn--bcher-kva.example", "xn--bcher-kva.example"},
             NameCase{"bcher-kva.example", "*.example"},
             NameCase{"example", "own"},
             NameCase{".example", "own"},
             NameCase{"notexample", "own"},
             NameCase{"a.b.example.org", "own"},
             NameCase{".", "own"},
             NameCase{"", "own"},
         })
        EXPECT_EQ(table.find(name), found) << name;
}

TEST(RouteTable, names_go_before_routes_and_routes_in_their_order) {
    config::Listener listener = with_names({"*.example"});
    listener.routes = {{.sni = {"a.example"}}, {.sni = {"a.test"}}, {.sni = {"*.test", "b.org"}}};
    const Table table(listener);
    EXPECT_EQ(table.find("a.example"), "*.example") << "an exact name of a route comes later";
    EXPECT_EQ(table.find("a.test"), "#1");
    EXPECT_EQ(table.find("b.test"), "#2");
    EXPECT_EQ(table.find("b.org"), "#2");
    EXPECT_EQ(table.find("test"), "own");
}

TEST(RouteTable, an_empty_name_stands_for_clients_without_one) {
    const Table table(with_routes({{.sni = {"", "a.test"}}, {}}));
    EXPECT_EQ(table.find(""), "#0");
    EXPECT_EQ(table.find("a.test"), "#0");
    EXPECT_EQ(table.find("b.test"), "#1") << "a route without conditions is for everybody";
    const Table named(with_routes({{.sni = {"*.test"}}}));
    EXPECT_EQ(named.find(""), "own");
}

TEST(RouteTable, one_protocol_of_those_offered_is_enough) {
    const Table table(with_routes({{.alpn = {"h2", "grpc"}}, {.alpn = {"http/1.1"}}}));
    EXPECT_EQ(table.find("", {"http/1.1", "h2"}), "#0");
    EXPECT_EQ(table.find("", {"grpc"}), "#0");
    EXPECT_EQ(table.find("", {"http/1.1"}), "#1");
    EXPECT_EQ(table.find("", {"H2"}), "own");
    EXPECT_EQ(table.find("", {}), "own");
}

TEST(RouteTable, a_source_is_where_the_client_comes_from) {
    config::Route local{.source = networks({"10.0.0.0/8", "2001:db8::/32"})};
    config::Route by_unix;
    by_unix.source.unix_peers = true;
    const Table table(with_routes({local, by_unix}));
    const auto from = [&](const std::string& address) {
        return table.find("", {}, StartTls::none, address);
    };
    EXPECT_EQ(from("10.1.2.3:99"), "#0");
    EXPECT_EQ(from("[2001:db8::1]:99"), "#0");
    EXPECT_EQ(from("11.0.0.1:99"), "own");
    const sockaddr raw{.sa_family = AF_UNIX, .sa_data = {}};
    const auto unix_client = CompactEndpoint::from_sockaddr(&raw, sizeof raw.sa_family);
    EXPECT_EQ(table->find({.client = unix_client}).index, 1U);
}

TEST(RouteTable, all_conditions_of_a_route_hold_together) {
    const Table table(
        with_routes({{.sni = {"a.test"}, .alpn = {"h2"}, .source = networks({"10.0.0.0/8"})}}));
    EXPECT_EQ(table.find("a.test", {"h2"}, StartTls::none, "10.0.0.1:1"), "#0");
    EXPECT_EQ(table.find("b.test", {"h2"}, StartTls::none, "10.0.0.1:1"), "own");
    EXPECT_EQ(table.find("a.test", {"x"}, StartTls::none, "10.0.0.1:1"), "own");
    EXPECT_EQ(table.find("a.test", {"h2"}, StartTls::none, "11.0.0.1:1"), "own");
}

TEST(RouteTable, who_asked_for_tls_by_starttls_is_for_routes_with_it) {
    const Table table(
        with_routes({{.sni = {"a.test"}}, {.sni = {"a.test"}, .starttls = StartTls::postgres}}));
    EXPECT_EQ(table.find("a.test"), "#0");
    EXPECT_EQ(table.find("a.test", {}, StartTls::postgres), "#1");
    // What the listener says, counts for its routes.
    config::Listener listener = with_routes({{.sni = {"a.test"}}});
    listener.starttls = StartTls::postgres;
    EXPECT_EQ(Table(listener).find("a.test", {}, StartTls::postgres), "#0");
    EXPECT_EQ(Table(listener).find("a.test"), "#0");
}

// Clients that could have asked for TLS and did not, and those who ask to cancel something: no
// condition of a route can be looked at.
TEST(RouteTable, a_plain_start_goes_to_the_listeners_own_upstream) {
    const CompactEndpoint client = peer("192.0.2.1:1");
    const Table table(with_routes({{.sni = {""}}, {.starttls = StartTls::postgres}, {}}));
    EXPECT_EQ(table->find({.client = client}).kind, Kind::route);
    EXPECT_EQ(table->find({.client = client, .plain_start = true}).kind, Kind::own);
}

TEST(RouteTable, what_is_no_tls_is_not_for_routes_that_say_what_becomes_of_it) {
    using config::RouteTls;
    const CompactEndpoint client = peer("192.0.2.1:1");
    for (const auto tls : {RouteTls::passthrough, RouteTls::terminate}) {
        const Table table(with_routes({{.tls = tls}, {}}));
        EXPECT_EQ(table->find({.client = client}).index, 0U) << "it may speak TLS";
        EXPECT_EQ(table->find({.client = client, .not_tls = true}).index, 1U);
        const Table alone(with_routes({{.tls = tls}}));
        EXPECT_EQ(alone->find({.client = client, .not_tls = true}).kind, Kind::own);
    }
}

TEST(RouteTable, knows_whether_the_hello_matters) {
    const auto needs = [](config::Listener listener) { return Table(listener)->needs_hello(); };
    EXPECT_FALSE(needs({}));
    EXPECT_FALSE(needs(with_routes({{.source = networks({"10.0.0.0/8"})}})));
    EXPECT_TRUE(needs(with_names({"a.test"})));
    EXPECT_TRUE(needs(with_routes({{}, {.sni = {"a.test"}}})));
    EXPECT_TRUE(needs(with_routes({{.alpn = {"h2"}}})));
    EXPECT_TRUE(needs(with_routes({{.tls = config::RouteTls::passthrough}})));
    const auto postgres = with_routes({{.starttls = StartTls::postgres}});
    EXPECT_TRUE(needs(postgres));
    EXPECT_TRUE(Table(postgres)->has_starttls());
    EXPECT_FALSE(Table(with_names({"a.test"}))->has_starttls());
}

/// Names, exact and patterns in turn, and what to ask for to find each of them.
struct ManyNames {
    explicit ManyNames(std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::string host = "host" + std::to_string(i) + ".example";
            const bool exact = i % 2 == 0;
            names.add(exact ? host : "*." + host, i);
            asked.push_back(exact ? host : "a.b.c." + host);
        }
    }
    NameTable names;
    std::vector<std::string> asked;
};

/// What one search takes, in the best of several rounds: others may have had the processor in the
/// rest of them. Each round asks for other names, as far as there are any.
template <class Search>
Duration time_per_search(Search search) {
    constexpr std::uint32_t searches = 500;
    Duration best = Duration::max();
    std::uint32_t next = 0;
    for (int round = 0; round < 20; ++round) {
        const TimePoint start = SteadyClock().now();
        for (std::uint32_t i = 0; i < searches; ++i) search(next += 7919);
        best = std::min(best, SteadyClock().now() - start);
    }
    return best / searches;
}

/// The time of a search for one of the names there are, and of one for a name that is not there.
std::pair<Duration, Duration> times_of(const ManyNames& many) {
    const auto count = static_cast<std::uint32_t>(many.asked.size());
    const std::string unknown = "a.b.c.d.e.f.unknown.example";
    return {time_per_search([&](std::uint32_t i) {
                EXPECT_EQ(many.names.find(many.asked[i % count]), i % count);
            }),
            time_per_search([&](std::uint32_t) { EXPECT_FALSE(many.names.find(unknown)); })};
}

TEST(RouteTable, S8_a_hundred_thousand_names_are_all_found) {
    constexpr std::uint32_t count = 100'000;
    const ManyNames many(count);
    for (std::uint32_t i = 0; i < count; ++i)
        ASSERT_EQ(many.names.find(many.asked[i]), i) << many.asked[i];
    // 127 labels, which is the most a name can have.
    std::string labels;
    for (int i = 0; i < 127; ++i) labels += "a.";
    EXPECT_FALSE(many.names.find(labels));
    EXPECT_EQ(many.names.find(labels + "host1.example"), 1U);
}

// One look-up for an exact name, one per label for patterns, whatever their number: memory that is
// in no cache makes a search in 100,000 names take a few times as long as one in two. From end to
// end it would be a thousand times as long and more.
TEST(RouteTable, S8_a_hundred_thousand_names_are_searched_as_fast_as_two) {
    const auto [found_few, missed_few] = times_of(ManyNames(2));
    const auto [found_many, missed_many] = times_of(ManyNames(100'000));
    std::printf("ns per search: %td of 2 names, %td of 100,000; in vain %td and %td\n",
                found_few.count(), found_many.count(), missed_few.count(), missed_many.count());
    EXPECT_LT(found_many, 50 * found_few);
    EXPECT_LT(missed_many, 50 * missed_few);
}

}  // namespace
}  // namespace penstock::proxy
