// Checks of backends that want to have a PROXY header.
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/check_scenario.hpp"
#include "tests/support/proxy_header.hpp"

namespace penstock::test {
namespace {

TEST(ChecksAsTraffic, send_a_header_in_which_the_proxy_speaks_for_itself) {
    const std::pair<std::string, std::string> versions[] = {{"v1", "PROXY UNKNOWN\r\n"},
                                                            {"v2", proxy_v2_local()}};
    for (const auto& [version, expected] : versions) {
        const ProxyHeaderBackend backend;
        ProxyProcess proxy(
            checked({backend.text()},
                    R"(type = "exchange", exchange = { send = "hello", expect = "hello" })",
                    "send_proxy_protocol = \"" + version + "\"\n"));
        ASSERT_TRUE(wait_for([&] { return backend.headers().size() >= 3; })) << proxy.errors();
        for (const ProxyHeader& header : backend.headers()) EXPECT_EQ(header.raw, expected);
        EXPECT_EQ(backend.without(), 0U);
        EXPECT_EQ(proxy.errors().find("is down"), std::string::npos) << proxy.errors();
    }
}

TEST(ChecksAsTraffic, send_none_where_that_is_switched_off) {
    const ProxyHeaderBackend backend;
    ProxyProcess proxy(checked({backend.text()}, R"(type = "tcp", send_proxy_protocol = "off")",
                               "send_proxy_protocol = \"v2\"\n"));
    EXPECT_TRUE(wait_for([&] { return backend.without() >= 3; })) << proxy.errors();
    EXPECT_TRUE(backend.headers().empty());
}

}  // namespace
}  // namespace penstock::test
