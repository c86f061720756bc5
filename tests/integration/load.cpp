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

// What upgrades rely on here, tried without one: a shell starts the program, says so, and leaves
// when it is told to. The program is its child first, and the test's own later.
TEST(Driver, follows_a_process_that_another_one_has_started) {
    EchoServer echo;
    ProxyOptions options;
    options.wrapper = {"sh", "-c", "trap 'exit 0' TERM; \"$@\" & while :; do wait; done", "sh"};
    ProxyProcess proxy(one_service({echo.text()}), options);
    const pid_t shell = proxy.pid();
    const auto program = json::parse(proxy.admin().get("/api/v1/status").body);
    proxy.follow_upgrade(program.at("pid").to_number<pid_t>());
    EXPECT_NE(proxy.pid(), shell);
    EXPECT_EQ(proxy.old_pids(), std::vector{shell});
    EXPECT_EQ(proxy.old_running(), 1U);
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_GT(proxy.descriptors(), 5U);
    expect_lines(proxy, 1);
    proxy.stop();
    EXPECT_FALSE(proxy.running());
    EXPECT_EQ(proxy.old_running(), 0U);
    EXPECT_TRUE(proxy.says("stopped:")) << "also what it said last";
}

}  // namespace
}  // namespace penstock::test
