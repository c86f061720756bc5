#pragma once

#include <string>
#include <utility>
#include <vector>

namespace penstock::test {

/// One listener and its own upstream of a test configuration. The strings are TOML lines as a user
/// writes them; what is left empty keeps the program's default.
struct Service {
    std::string name = "in";
    std::string bind = "127.0.0.1:0";
    std::vector<std::string> backends{};  // addresses, or whole lines `address = "...", weight = 2`
    std::string balance = "round_robin";
    std::string listener{};  // more lines of [[listener]]
    std::string timeouts{};  // lines of [listener.timeouts]
    std::string upstream{};  // more lines of [[upstream]]
    bool routed = true;  // false: upstream = ""
};

struct ConfigText {
    std::string process = "workers = 1";
    std::string drain = R"({ wait = "100ms", close_over = "100ms" })";
    std::string log = R"(level = "info")";
    /// Lines of [access_log]; @DIR@ stands for the proxy's private directory.
    std::string access_log = "target = \"@DIR@/access.log\"\nflush_interval = \"50ms\"";
    std::string admin{};  // whole tables of the admin API; empty = the unix socket alone
    std::vector<Service> services{};
    std::string more{};  // whole tables at the end: upstreams without a listener of their own

    [[nodiscard]] std::string toml() const;
};

/// Backends are called b0, b1, ... in the order of the list.
[[nodiscard]] std::string backend_name(std::size_t index);

/// What stands in a text, and what shall stand there instead.
using Changes = std::vector<std::pair<std::string, std::string>>;

/// `text` with each change carried out wherever its words stand as whole ones: "10.0.0.1" is not in
/// "10.0.0.10". A change that finds nothing fails the test.
[[nodiscard]] std::string changed(std::string text, const Changes& changes);

}  // namespace penstock::test
