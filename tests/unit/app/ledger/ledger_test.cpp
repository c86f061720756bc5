#include "app/ledger/ledger.hpp"

#include <utility>

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

Ledger ledger_of(std::uint64_t n, const std::string& backend) {
    metrics::WaitHistogram waits;
    waits.record(n);
    Ledger ledger;
    auto& web = ledger.listeners["web"];
    web.totals.accepted = n;
    web.totals.closed[std::to_underlying(CloseReason::denied)] = n;
    web.routes["up"].closed[std::to_underlying(CloseReason::completed)] = n;
    web.routes["up"].setup += waits;
    ledger.upstreams["up"].retries = n;
    ledger.lookups["up"].failed = n;
    ledger.backends[{"up", backend}].established = n;
    ledger.workers[3].busy_us = n;
    ledger.process.reloads_failed = n;
    return ledger;
}

TEST(Ledger, adds_up_by_name) {
    Ledger sum = ledger_of(2, "a");
    sum += ledger_of(40, "a");
    sum += ledger_of(7, "b");
    const auto& web = sum.listeners["web"];
    EXPECT_EQ(web.totals.accepted, 49U);
    EXPECT_EQ(web.totals.closed[std::to_underlying(CloseReason::denied)], 49U);
    EXPECT_EQ(web.routes.at("up").closed[std::to_underlying(CloseReason::completed)], 49U);
    EXPECT_EQ(web.routes.at("up").setup.count(), 3U);
    EXPECT_EQ(web.routes.at("up").setup.sum_us, 49U);
    EXPECT_EQ(sum.upstreams["up"].retries, 49U);
    EXPECT_EQ(sum.lookups["up"].failed, 49U);
    EXPECT_EQ((sum.backends[{"up", "a"}].established), 42U);
    EXPECT_EQ((sum.backends[{"up", "b"}].established), 7U);
    EXPECT_EQ(sum.workers[3].busy_us, 49U);
    EXPECT_EQ(sum.process.reloads_failed, 49U);
}

TEST(Gauges, add_up_by_name) {
    Gauges one{.connections = 3,
               .listeners = {{"web", 3}},
               .upstreams = {{"up", {3, 1, 0}}},
               .backends = {{{"up", "a"}, {2, 1, 4}}},
               .sources = {{{"up", "10.0.0.5"}, 2}},
               .workers = {{0, 3}}};
    one += Gauges{.connections = 2,
                  .listeners = {{"old", 2}},
                  .upstreams = {{"up", {2, 0, 5}}},
                  .backends = {{{"up", "a"}, {1, 0, 0}}, {{"up", "b"}, {1, 0, 0}}},
                  .sources = {{{"up", "10.0.0.5"}, 1}, {{"up", "10.0.0.6"}, 4}},
                  .workers = {{0, 1}, {1, 1}}};
    const Gauges expected{.connections = 5,
                          .listeners = {{"old", 2}, {"web", 3}},
                          .upstreams = {{"up", {5, 1, 5}}},
                          .backends = {{{"up", "a"}, {3, 1, 4}}, {{"up", "b"}, {1, 0, 0}}},
                          .sources = {{{"up", "10.0.0.5"}, 3}, {{"up", "10.0.0.6"}, 4}},
                          .workers = {{0, 4}, {1, 1}}};
    EXPECT_EQ(one, expected);
}

}  // namespace
}  // namespace penstock::app
