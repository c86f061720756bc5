// What is written where: events, targets and formats of both logs.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/scenario.hpp"

namespace penstock::test {
namespace {

TEST(AccessLogForm, open_lines_skip_empty_and_ids) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log += "\nevents = [\"open\", \"close\"]";
    ProxyProcess proxy(config);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    const auto lines = expect_lines(proxy, 10);
    for (const LogLine& line : lines) {
        const auto same = std::ranges::count(lines, line.id, &LogLine::id);
        EXPECT_EQ(same, 2) << line.raw;  // one open, one close
    }

    config = one_service({echo.text()});
    config.access_log += "\nskip_empty = true";
    ProxyProcess skipping(config);
    ASSERT_TRUE(wait_for([&] { return echo.open() == 0; }));
    auto silent = Socket::connect(skipping.address());
    ASSERT_TRUE(silent);
    ASSERT_TRUE(wait_for([&] { return echo.open() == 1; }));
    silent->close();
    ASSERT_TRUE(wait_for([&] { return echo.open() == 0; }));
    EXPECT_TRUE(echo_once(skipping.address()));
    skipping.stop();
    EXPECT_EQ(skipping.access_log().lines().size(), 1U);
}

}  // namespace
}  // namespace penstock::test
