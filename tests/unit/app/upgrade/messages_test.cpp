#include "app/upgrade/messages.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

namespace penstock::app::upgrade {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

template <typename T>
T through(const T& message) {
    const auto decoded = decode(encode(message));
    EXPECT_TRUE(decoded) << (decoded ? "" : decoded.error());
    EXPECT_TRUE(decoded && std::holds_alternative<T>(*decoded)) << encode(message);
    return decoded && std::holds_alternative<T>(*decoded) ? std::get<T>(*decoded) : T{};
}

/// A number of its own for each counter.
class Filler {
public:
    std::uint64_t next() { return ++last_; }
    template <std::size_t n>
    void fill(std::array<std::uint64_t, n>& counters, std::size_t from = 0) {
        for (std::size_t i = from; i < n; ++i) counters[i] = next();
    }
    template <typename Histogram>
    metrics::HistogramTotals histogram() {
        Histogram cells;
        cells.record(next());
        cells.record(next() * 1000);
        cells.record(next() * 1'000'000'000);
        metrics::HistogramTotals totals;
        totals += cells;
        return totals;
    }

private:
    std::uint64_t last_ = 0;
};

Ledger full_ledger() {
    Filler filler;
    Ledger ledger;
    auto& web = ledger.listeners["web"];
    web.totals = {.accepted = filler.next(),
                  .bytes_to_backend = filler.next(),
                  .bytes_to_client = ~std::uint64_t{0},
                  .duration = filler.histogram<metrics::LifeHistogram>()};
    filler.fill(web.totals.accept_errors);
    filler.fill(web.totals.closed);
    filler.fill(web.totals.let_pass);
    filler.fill(web.totals.handshakes);
    web.totals.handshake_time = filler.histogram<metrics::WaitHistogram>();
    filler.fill(web.routes["up"].closed);
    web.routes["up"].setup = filler.histogram<metrics::WaitHistogram>();
    ledger.listeners["a \"quoted\" name\n"].totals.accepted = filler.next();
    ledger.upstreams["up"] = {filler.next(), filler.next(),
                              filler.next(), filler.next(),
                              filler.next(), filler.next(),
                              filler.next(), filler.next(),
                              filler.next(), filler.histogram<metrics::WaitHistogram>()};
    ledger.lookups["up"] = {filler.next(), filler.next()};
    auto& backend = ledger.backends[{"up", "a"}];
    backend.bytes_to_backend = filler.next();
    backend.bytes_to_client = filler.next();
    backend.established = filler.next();
    filler.fill(backend.closed);
    filler.fill(backend.connect_failures, 1);  // the first one is "none"
    filler.fill(backend.warm);
    backend.connect = filler.histogram<metrics::WaitHistogram>();
    backend.first_byte = filler.histogram<metrics::WaitHistogram>();
    backend.checks_ok = filler.next();
    backend.checks_failed = filler.next();
    backend.went_up = filler.next();
    backend.went_down = filler.next();
    filler.fill(backend.circuit_opened);
    filler.fill(backend.circuit_would_open);
    backend.check = filler.histogram<metrics::WaitHistogram>();
    ledger.backends[{"up/a", "b"}].established = filler.next();
    ledger.backends[{"up", "a/b"}].established = filler.next();
    ledger.workers[0] = {filler.next(),
                         filler.next(),
                         filler.next(),
                         filler.next(),
                         filler.next(),
                         filler.next(),
                         filler.histogram<metrics::WaitHistogram>()};
    ledger.workers[7].busy_us = filler.next();
    ledger.process = {filler.next(), filler.next(), filler.next(),
                      filler.next(), filler.next(), filler.next()};
    return ledger;
}

Gauges full_gauges() {
    return {.connections = 5,
            .listeners = {{"old", 2}, {"web", 3}},
            .upstreams = {{"up", {5, 1, 4}}},
            .backends = {{{"up", "a"}, {3, 1, 4}}, {{"up", "b"}, {1, 0, 0}}},
            .sources = {{{"up", "10.0.0.5"}, 6}, {{"up", "::1"}, 7}},
            .workers = {{0, 4}, {1, 1}}};
}

void expect_same(const metrics::HistogramTotals& one, const metrics::HistogramTotals& other) {
    EXPECT_EQ(one.counts, other.counts);
    EXPECT_EQ(one.sum_us, other.sum_us);
    EXPECT_EQ(one.bounds_us.data(), other.bounds_us.data()) << "the program's own";
}

TEST(Messages, bring_every_counter) {
    const Ledger sent = full_ledger();
    const Ledger got = through(Figures{.ledger = sent}).ledger;
    ASSERT_EQ(got.listeners.size(), 2U);
    const auto& web = got.listeners.at("web");
    const auto& web_sent = sent.listeners.at("web");
    EXPECT_EQ(web.totals.accepted, web_sent.totals.accepted);
    EXPECT_EQ(web.totals.bytes_to_backend, web_sent.totals.bytes_to_backend);
    EXPECT_EQ(web.totals.bytes_to_client, web_sent.totals.bytes_to_client);
    EXPECT_EQ(web.totals.accept_errors, web_sent.totals.accept_errors);
    EXPECT_EQ(web.totals.closed, web_sent.totals.closed);
    EXPECT_EQ(web.totals.let_pass, web_sent.totals.let_pass);
    EXPECT_EQ(web.totals.handshakes, web_sent.totals.handshakes);
    expect_same(web.totals.handshake_time, web_sent.totals.handshake_time);
    expect_same(web.totals.duration, web_sent.totals.duration);
    EXPECT_EQ(web.routes.at("up").closed, web_sent.routes.at("up").closed);
    expect_same(web.routes.at("up").setup, web_sent.routes.at("up").setup);
    EXPECT_EQ(got.process, sent.process);
    EXPECT_EQ(got.lookups, sent.lookups);
    EXPECT_EQ(got.backends.size(), 3U) << "names with a slash are not mixed up";
    // What is left shows in the text: sent again, it is the same.
    EXPECT_EQ(encode(Figures{.ledger = got}), encode(Figures{.ledger = sent}));
}

/// All leaves of a JSON value that are numbers.
void collect(const json::value& value, std::vector<std::uint64_t>& numbers) {
    if (value.is_object())
        for (const auto& item : value.get_object()) collect(item.value(), numbers);
    else if (value.is_array())
        for (const auto& item : value.get_array()) collect(item, numbers);
    else if (value.is_number())
        numbers.push_back(value.to_number<std::uint64_t>());
}

TEST(Messages, leave_no_counter_out) {
    std::vector<std::uint64_t> numbers;
    collect(json::parse(encode(Figures{.ledger = full_ledger()})), numbers);
    const auto expect_all = [&](const auto& counters, std::size_t from = 0) {
        for (std::size_t i = from; i < counters.size(); ++i)
            EXPECT_NE(std::ranges::find(numbers, counters[i]), numbers.end())
                << "place " << i << " of " << counters.size() << " has no name";
    };
    const Ledger ledger = full_ledger();
    const auto& web = ledger.listeners.at("web");
    expect_all(web.totals.accept_errors);
    expect_all(web.totals.closed);
    expect_all(web.totals.let_pass);
    expect_all(web.totals.handshakes);
    expect_all(web.routes.at("up").closed);
    const auto& backend = ledger.backends.at({"up", "a"});
    expect_all(backend.closed);
    expect_all(backend.connect_failures, 1);
    expect_all(backend.warm);
    expect_all(backend.circuit_opened);
    expect_all(backend.circuit_would_open);
}

TEST(Messages, bring_gauges_and_the_time_left) {
    const auto got = through(Figures{.gauges = full_gauges(), .left = Duration{}});
    EXPECT_EQ(got.gauges, full_gauges());
    EXPECT_EQ(got.left, Duration{}) << "no time left is not the same as no end";
    EXPECT_EQ(through(Figures{.left = seconds(7)}).left, seconds(7));
    EXPECT_EQ(through(Figures{}).left, std::nullopt);
    EXPECT_TRUE(through(Figures{.takes_orders = true}).takes_orders);
    EXPECT_EQ(through(Figures{.memory = 5}).memory, 5U);
}

Manifest full_manifest() {
    Manifest manifest{
        .version = "1.2.3",
        .pid = 4711,
        .started = WallTime(milliseconds(1'764'000'000'123)),
        .sockets = {{"0.0.0.0:0", "0.0.0.0:8080", "web", 4, 0, 0},
                    {"unix:/s", "unix:/s", "local", 1, 7, 9}},
        .admin_sockets = {{"systemd:admin", "127.0.0.1:9901", "", 1, 0, 0, "systemd:admin", 5}},
        .overrides = {{{"up", "a"},
                       config::BackendState::drain,
                       {},
                       "uid 0",
                       WallTime{},
                       config::BackendState::ready,
                       1},
                      {{"up", "b"}, {}, 0, "", WallTime(milliseconds(5)), {}, 0}},
        .splits = {{"web", {{"v1", 95}, {"v2", 0}}, "uid 1000", {{"v1", 100}, {"v2", 0}}}},
        .pauses = {{"up", seconds(3), "uid 0"}, {"down", std::nullopt}},
        .ticket_keys = {{"web", {{std::string(160, 'a'), std::string(160, 'b')}, seconds(9)}}},
        .draining = true,
        .draining_listeners = {"web"}};
    manifest.gone.process.reloads_failed = 3;
    manifest.older = {{12, "1.0.0", {.gauges = full_gauges()}}};
    return manifest;
}

TEST(Messages, bring_the_manifest) {
    const Manifest sent = full_manifest();
    const Manifest got = through(sent);
    EXPECT_EQ(got.protocol, Manifest::own_protocol);
    EXPECT_EQ(got.version, sent.version);
    EXPECT_EQ(got.pid, sent.pid);
    EXPECT_EQ(got.started, sent.started);
    EXPECT_EQ(got.sockets, sent.sockets);
    EXPECT_EQ(got.admin_sockets, sent.admin_sockets);
    EXPECT_EQ(got.overrides, sent.overrides);
    EXPECT_EQ(got.splits, sent.splits);
    EXPECT_EQ(got.pauses, sent.pauses);
    EXPECT_EQ(got.ticket_keys, sent.ticket_keys);
    EXPECT_EQ(got.draining, sent.draining);
    EXPECT_EQ(got.draining_listeners, sent.draining_listeners);
    EXPECT_EQ(got.gone.process, sent.gone.process);
    ASSERT_EQ(got.older.size(), 1U);
    EXPECT_EQ(got.older[0].pid, 12);
    EXPECT_EQ(got.older[0].version, "1.0.0");
    EXPECT_EQ(got.older[0].last.gauges, full_gauges());
    EXPECT_EQ(got.descriptors(), 4U + 1 + 1 + 1);
}

TEST(Messages, bring_answers_and_questions) {
    const auto ready = through(Ready{12, "2.0.0"});
    EXPECT_EQ(ready.pid, 12);
    EXPECT_EQ(ready.version, "2.0.0");
    EXPECT_EQ(through(Failed{"the file \xff\n is not there"}).reason,
              "the file \xff\n is not there");
    const auto request = through(SessionsRequest{
        9, {"web", "up", "a", Prefix::parse("10.0.0.0/8").value(), seconds(30), 77}});
    EXPECT_EQ(request.number, 9U);
    EXPECT_EQ(request.filter.listener, "web");
    EXPECT_EQ(request.filter.upstream, "up");
    EXPECT_EQ(request.filter.backend, "a");
    ASSERT_TRUE(request.filter.source);
    EXPECT_EQ(request.filter.source->to_string(), "10.0.0.0/8");
    EXPECT_EQ(request.filter.older, seconds(30));
    EXPECT_EQ(request.filter.limit, 77U);
    EXPECT_EQ(through(SessionsRequest{9, {.limit = 0}}).filter.limit, 0U);
    const json::array sessions{json::object{{"id", "1"}, {"sni", nullptr}}, json::object{}};
    const auto answer = through(SessionsAnswer{9, sessions});
    EXPECT_EQ(answer.number, 9U);
    EXPECT_EQ(answer.sessions, sessions);
}

// Three decimals at most, in objects as in lists: what an old process says of its sessions is shown
// as that process would show it, not with an error in the last place.
TEST(Messages, numbers_of_the_api_pass_exactly) {
    std::minstd_rand random(7);
    std::uniform_int_distribution<std::int64_t> thousandths(-(std::int64_t{1} << 52),
                                                            std::int64_t{1} << 52);
    json::array sent;
    for (int i = 0; i < 2000; ++i) {
        const auto shift = static_cast<unsigned>(i % 52);
        sent.push_back(static_cast<double>(thousandths(random) >> shift) / 1000);
        sent.push_back(json::object{{"age_s", static_cast<double>(i) / 1000}});
    }
    EXPECT_EQ(through(SessionsAnswer{1, sent}).sessions, sent);
    EXPECT_EQ(through(OrderAnswer{.closes = sent}).closes, sent);
}

TEST(Messages, bring_orders_and_what_became_of_them) {
    Order sent{.number = 3,
               .kind = Order::Kind::end_sessions,
               .session = "00ff",
               .listener = "web",
               .upstream = "up",
               .quotas = {{"a", 5}, {"b", 0}},
               .min_age = seconds(4),
               .over = seconds(5),
               .max = seconds(6),
               .reason = "killed",
               .limit = 7,
               .by = "uid 0"};
    sent.change = {.name = {"up", "a"}, .state = config::BackendState::drain, .weight = 0};
    sent.address = "10.0.0.1:80";
    sent.state_there = config::BackendState::maintenance;
    sent.valid_until = TimePoint(seconds(8));
    const Order got = through(sent);
    EXPECT_EQ(got.number, 3U);
    EXPECT_EQ(got.session, "00ff");
    EXPECT_EQ(got.listener, "web");
    EXPECT_EQ(got.upstream, "up");
    EXPECT_EQ(got.change, sent.change);
    EXPECT_EQ(got.quotas, sent.quotas);
    EXPECT_EQ(got.min_age, seconds(4));
    EXPECT_EQ(got.over, seconds(5));
    EXPECT_EQ(got.max, seconds(6));
    EXPECT_EQ(got.reason, "killed");
    EXPECT_EQ(got.limit, 7U);
    EXPECT_EQ(got.by, "uid 0");
    EXPECT_EQ(got.address, "10.0.0.1:80");
    EXPECT_EQ(got.state_there, config::BackendState::maintenance);
    EXPECT_EQ(got.valid_until, TimePoint(seconds(8)));
    const OrderAnswer answer{.number = 3,
                             .understood = true,
                             .done = true,
                             .sessions = {{"a", {9, 8}}, {"b", {}}},
                             .closing = {{"a", 2}},
                             .closes = {json::array{1, "{}"}}};
    const OrderAnswer back = through(answer);
    EXPECT_EQ(back.number, 3U);
    EXPECT_TRUE(back.understood);
    EXPECT_TRUE(back.done);
    EXPECT_EQ(back.sessions, answer.sessions) << "one without sessions is there, too";
    EXPECT_EQ(back.closing, answer.closing);
    EXPECT_EQ(back.closes, answer.closes);
}

TEST(Messages, U6_orders_of_a_later_version_are_told_apart) {
    for (const auto kind :
         {Order::Kind::kill_session, Order::Kind::count_sessions, Order::Kind::end_sessions,
          Order::Kind::change_backend, Order::Kind::drain_listener, Order::Kind::pause,
          Order::Kind::resume, Order::Kind::closes})
        EXPECT_EQ(through(Order{.kind = kind}).kind, kind);
    for (const char* text :
         {R"({"type":"order","number":4,"order":"dance"})", R"({"type":"order","number":4})",
          R"({"type":"order","number":4,"order":7,"quotas":[1],"change":5,"over_ns":-1})"}) {
        const auto decoded = decode(text);
        ASSERT_TRUE(decoded) << text;
        EXPECT_EQ(std::get<Order>(*decoded).kind, Order::Kind::unknown) << text;
        EXPECT_EQ(std::get<Order>(*decoded).number, 4U) << text;
    }
}

// An upgrade brings fields that the old version does not know; a downgrade lacks some.
TEST(Messages, U6_fields_of_other_versions_do_no_harm) {
    json::object manifest = json::parse(encode(full_manifest())).as_object();
    manifest["invented_later"] = json::object{{"deep", json::array{1, 2, 3}}};
    manifest["gone"].as_object()["invented_later"] = 5;
    manifest["sockets"].as_array()[0].as_object()["invented_later"] = "x";
    manifest.erase("pauses");
    manifest.erase("version");
    const auto decoded = decode(json::serialize(manifest));
    ASSERT_TRUE(decoded) << decoded.error();
    const auto& got = std::get<Manifest>(*decoded);
    EXPECT_EQ(got.sockets, full_manifest().sockets);
    EXPECT_EQ(got.gone.process.reloads_failed, 3U);
    EXPECT_TRUE(got.pauses.empty());
    EXPECT_EQ(got.version, "");
}

// One without them is understood, and has none; one that does not know them passes them over.
TEST(Messages, T13_ticket_keys_are_a_field_like_others) {
    json::object manifest = json::parse(encode(full_manifest())).as_object();
    manifest["ticket_keys"].as_object()["web"].as_object()["invented_later"] = 5;
    const auto newer = decode(json::serialize(manifest));
    ASSERT_TRUE(newer) << newer.error();
    EXPECT_EQ(std::get<Manifest>(*newer).ticket_keys, full_manifest().ticket_keys);
    manifest.erase("ticket_keys");
    const auto older = decode(json::serialize(manifest));
    ASSERT_TRUE(older) << older.error();
    EXPECT_TRUE(std::get<Manifest>(*older).ticket_keys.empty());
    EXPECT_EQ(std::get<Manifest>(*older).sockets, full_manifest().sockets);
}

TEST(Manifest, forgets_what_is_secret) {
    Manifest manifest = full_manifest();
    manifest.wipe();
    EXPECT_TRUE(manifest.ticket_keys.empty());
    EXPECT_EQ(manifest.sockets, full_manifest().sockets);
}

TEST(Messages, long_ones_are_whole) {
    Manifest manifest = full_manifest();
    for (int i = 0; i < 2000; ++i)
        manifest.draining_listeners.insert("listener \"" + std::to_string(i) + "\"");
    EXPECT_EQ(through(manifest).draining_listeners, manifest.draining_listeners);
}

TEST(Messages, U6_unknown_reasons_and_other_bounds_are_merged_as_far_as_possible) {
    const auto decoded = decode(R"({"type":"figures","ledger":{"listeners":{"web":{
        "closed":{"completed":3,"eaten_by_a_whale":4},
        "duration":{"bounds_us":[2000,99000000000000],"counts":[1,2,4],"sum_us":9}}}}})");
    ASSERT_TRUE(decoded) << decoded.error();
    const auto& web = std::get<Figures>(*decoded).ledger.listeners.at("web").totals;
    EXPECT_EQ(web.closed[std::to_underlying(CloseReason::completed)], 3U);
    EXPECT_EQ(web.duration.count(), 7U);
    EXPECT_EQ(web.duration.sum_us, 9U);
    EXPECT_EQ(web.duration.counts.size(), metrics::life_bounds_us.size() + 1);
    EXPECT_EQ(web.duration.counts[1], 1U) << "2 ms are within 5 ms";
    EXPECT_EQ(web.duration.counts.back(), 6U);
}

TEST(Messages, U6_a_manifest_of_another_protocol_is_refused) {
    for (const char* text : {R"({"type":"manifest","protocol":2})", R"({"type":"manifest"})"}) {
        const auto decoded = decode(text);
        ASSERT_FALSE(decoded) << text;
        EXPECT_NE(decoded.error().find("restart"), std::string::npos) << decoded.error();
    }
}

TEST(Messages, unknown_ones_can_be_told_and_ignored) {
    const auto decoded = decode(R"({"type":"dance","steps":[1,2]})");
    ASSERT_TRUE(decoded);
    ASSERT_TRUE(std::holds_alternative<Unknown>(*decoded));
    EXPECT_EQ(std::get<Unknown>(*decoded).type, "dance");
}

TEST(Messages, what_is_none_is_refused) {
    const std::string deep(100'000, '[');
    for (const std::string text :
         {"", "{", "null", "[]", "{}", "17", "\"manifest\"", R"({"type":null})", R"({"type":""})",
          R"({"type":["manifest"]})", R"({"type":"ready"} more)", "{\"type\":\"ready\"", "\xff\xfe",
          deep.c_str()})
        EXPECT_FALSE(decode(text)) << text.substr(0, 40);
    EXPECT_FALSE(decode(std::string_view("{\"type\":\"ready\"}\0", 17)));
}

// Fields of another type count as not there.
TEST(Messages, fields_of_another_kind_do_no_harm) {
    for (const std::string text : {
             R"({"type":"ready","pid":-1,"version":7})",
             R"({"type":"ready","pid":1e300,"version":null})",
             R"({"type":"ready","pid":99999999999999999999})",
             R"({"type":"ready","pid":4294967296})",
             R"({"type":"failed","reason":{}})",
             R"({"type":"figures","ledger":[],"gauges":{"workers":{"a":1},"connections":"many"}})",
             R"({"type":"figures","ledger":{"listeners":[1],"backends":{"a":1},"workers":[null,7,
                 {"number":-1},{"number":4294967296,"value":{"lag":{"counts":[1,"2",-3],
                 "bounds_us":"no","sum_us":-1}}}],"upstreams":{"up":{"waited":{"counts":[1,2,3],
                 "bounds_us":[5,4,3,2,1]}}}}})",
             R"({"type":"manifest","protocol":1,"sockets":[null,{},{"count":-1},{"count":"4"}],
                 "overrides":[{"state":"flying","weight":[-1]},{"weight":[99999999999]}],
                 "older":{"pid":1},"pauses":[{"left_ns":[-5]},{"left_ns":[]}],
                 "started_ms":9223372036854775807,"draining":"yes","draining_listeners":{}})",
             R"({"type":"sessions_request","limit":-1,"source":"everywhere","older_ns":-1})",
             R"({"type":"sessions_answer","sessions":{"a":1}})",
         }) {
        const auto decoded = decode(text);
        ASSERT_TRUE(decoded) << text << decoded.error();
        EXPECT_TRUE(decode(encode(*decoded))) << text;
    }
    const auto manifest = std::get<Manifest>(
        *decode(R"({"type":"manifest","protocol":1,"pid":"7","sockets":[{"count":1}],
                    "overrides":[{"weight":[99999999999],"state":"flying"}]})"));
    EXPECT_EQ(manifest.pid, 0);
    ASSERT_EQ(manifest.overrides.size(), 1U);
    EXPECT_EQ(manifest.overrides[0].weight, std::nullopt) << "0 would take its clients away";
    EXPECT_EQ(manifest.overrides[0].state, std::nullopt);
    EXPECT_EQ(manifest.descriptors(), 1U);
}

TEST(Manifest, counts_beyond_reason_are_none) {
    Manifest manifest;
    manifest.sockets = {{.bind = "a", .count = ~std::uint64_t{0}}, {.bind = "b", .count = 2}};
    EXPECT_EQ(manifest.descriptors(), std::nullopt);
}

}  // namespace
}  // namespace penstock::app::upgrade
