// What is written where: events, targets and formats of both logs.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <sstream>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "tests/integration/scenario.hpp"

namespace penstock::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

TEST(AccessLogForm, to_standard_output_behind_what_the_start_says) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"stdout\"\nflush_interval = \"50ms\"";
    ProxyProcess proxy(config);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    // While it runs, not only at its end.
    EXPECT_TRUE(wait_for([&] { return lines_of(proxy.child().output()).size() == 5; }));
    const auto lines = lines_of(proxy.child().output());
    ASSERT_EQ(lines.size(), 5U) << proxy.child().output();
    EXPECT_EQ(lines[1], "ready");
    for (std::size_t i = 2; i < 5; ++i) {
        const LogLine line = parse_log_line(lines[i]);
        EXPECT_EQ(line.problem, "") << lines[i];
        EXPECT_EQ(line.reason, "completed") << lines[i];
    }
    proxy.signal(SIGUSR1);  // has nothing to reopen there
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(wait_for([&] { return lines_of(proxy.child().output()).size() == 6; }));
}

TEST(AccessLogForm, text_is_key_value) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log += "\nformat = \"text\"";
    ProxyProcess proxy(config);
    EXPECT_TRUE(echo_once(proxy.address()));
    proxy.stop();
    const auto lines = lines_of(read_file(proxy.access_log().path()));
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(lines[0].starts_with("event=close time=")) << lines[0];
    EXPECT_TRUE(lines[0].ends_with(" reason=completed class=ok")) << lines[0];
}

TEST(ProcessLogForm, json_is_one_object_a_line) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.log = "level = \"info\"\nformat = \"json\"";
    ProxyProcess proxy(config);
    proxy.stop();
    const auto lines = lines_of(proxy.errors());
    EXPECT_GE(lines.size(), 2U);  // of its start and of its end at least
    for (const std::string& line : lines) {
        const auto object = boost::json::parse(line).as_object();
        EXPECT_EQ(object.size(), 3U) << line;
        EXPECT_TRUE(object.at("level") == "info" || object.at("level") == "warn") << line;
        EXPECT_FALSE(object.at("message").as_string().empty()) << line;
        const auto& time = object.at("time").as_string();
        EXPECT_EQ(time.size(), std::string_view("2024-01-01T00:00:00.000Z").size()) << line;
        EXPECT_TRUE(time.ends_with("Z")) << line;
    }
}

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
