#include "tests/e2e/scenario.hpp"

#include <gtest/gtest.h>

#include "tests/support/oracle.hpp"

namespace penstock::test {

ConfigText proxy_for(std::vector<std::string> backends, unsigned workers, std::string upstream) {
    ConfigText config;
    config.process = "workers = " + std::to_string(workers);
    config.services = {{.backends = std::move(backends), .upstream = std::move(upstream)}};
    return config;
}

std::vector<LogLine> stop_with_lines(ProxyProcess& proxy, std::size_t count) {
    std::ignore = proxy.access_log().wait_for_lines(count);
    proxy.stop();
    auto lines = proxy.access_log().lines();
    EXPECT_EQ(lines.size(), count);
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    return lines;
}

Counts count_reasons(const std::vector<LogLine>& lines) {
    Counts result;
    for (const LogLine& line : lines) ++result[line.reason];
    return result;
}

Counts count_backends(const std::vector<LogLine>& lines) {
    Counts result;
    for (const LogLine& line : lines) ++result[line.backend];
    return result;
}

}  // namespace penstock::test
