// Steady load: nothing is refused, reset or lost. (Under changes: reload_loss.cpp, upgrade.cpp.)
#include <gtest/gtest.h>

#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

TEST(Load, steady_traffic_loses_nothing) {
    Traffic traffic({.per_second = full_rate(), .long_lived = 500, .life = 2s});
    ConfigText config = one_service(traffic.backends());
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const auto start = Clock::now();
    traffic.start({proxy.address()});
    ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(3 * full_rate())));
    traffic.finish();
    RecordProperty("milliseconds", static_cast<int>(since(start).count()));
    expect_no_loss(traffic, proxy);
}

}  // namespace
}  // namespace penstock::test
