// Debian's Prometheus scrapes a proxy under load; what it knows is what the test has done.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/integration/scenario.hpp"
#include "tests/servers/prometheus.hpp"

namespace penstock::test {
namespace {

ConfigText with_metrics(std::vector<std::string> backends) {
    ConfigText config = one_service(std::move(backends));
    config.process = "workers = 2";
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n"
        "[[admin.listener]]\nbind = \"127.0.0.1:0\"\naccess = \"metrics\"";
    return config;
}

Address metrics_address(const ProxyProcess& proxy) {
    static const std::string head = "admin API on ";
    std::string found;
    wait_for([&] {
        const std::string log = proxy.errors();
        const auto at = log.find(head + "127.0.0.1:");
        if (at == std::string::npos) return false;
        const auto begin = at + head.size();
        found = log.substr(begin, log.find(' ', begin) - begin);
        return true;
    });
    return Address::parse(found);
}

TEST(Metrics, M5_prometheus_knows_exactly_what_clients_did) {
    EchoServer a;
    EchoServer b;
    ProxyProcess proxy(with_metrics({a.text(), b.text()}));
    const Prometheus prometheus(metrics_address(proxy));
    ASSERT_TRUE(wait_for([&] { return prometheus.value("up") == 1.0; }, 60s));

    constexpr int clients = 300;
    constexpr std::size_t size = 10'000;
    double bytes = 0;
    for (int i = 0; i < clients; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        if (i % 3 == 0) {  // some leave by a reset
            ASSERT_TRUE(ping(*client, "short"));
            bytes += 5;
            client->reset();
            continue;
        }
        ASSERT_TRUE(ping(*client, std::string(size, 'x')));
        bytes += size;
        client->finish();
        ASSERT_EQ(client->wait_end(), End::fin);
    }
    const auto known = [&](const std::string& expression, double wanted) {
        std::optional<double> last;
        const bool reached =
            wait_for([&] { return (last = prometheus.value(expression)) == wanted; }, 30s);
        EXPECT_TRUE(reached) << expression << ": " << last.value_or(-1) << ", not " << wanted;
    };
    known("sum(penstock_listener_connections_total)", clients);
    known("sum(penstock_sessions_closed_total{reason=\"completed\"})", clients * 2 / 3);
    known("sum(penstock_sessions_closed_total{reason=\"client_reset\"})", clients / 3);
    known("sum(penstock_sessions_closed_total)", clients);
    known("sum(penstock_listener_bytes_total{direction=\"to_client\"})", bytes);
    known("sum(penstock_listener_bytes_total{direction=\"to_backend\"})", bytes);
    known("sum(penstock_backend_bytes_total{direction=\"to_client\"})", bytes);
    known("sum(penstock_backend_connections_total)", a.accepted() + b.accepted());
    known("penstock_connections_active", 0);
    known("sum(penstock_session_duration_seconds_count)", clients);
    // One that took longer than its second is a matter of the machine.
    const auto failed = prometheus.value("sum(count_over_time(up[1m]) - sum_over_time(up[1m]))");
    ASSERT_TRUE(failed);
    EXPECT_LE(*failed, 2) << "scrapes failed";
    known("min(up)", 1);
}

TEST(Metrics, M7_promtool_finds_nothing_to_complain_about) {
    EchoServer echo;
    std::string toml = with_metrics({echo.text()}).toml();
    const std::string plain = "name = \"b0\"";
    const auto at = toml.find(plain);
    ASSERT_NE(at, std::string::npos);
    ProxyProcess proxy(toml.replace(at, plain.size(), "name = \"a:[b]/@c-d.e_f\""));
    ASSERT_TRUE(echo_once(proxy.address()));
    const std::string page = proxy.admin().get("/metrics").body;
    ASSERT_NE(page.find("backend=\"a:[b]/@c-d.e_f\""), std::string::npos);
    const TempDir directory;
    const auto file = (directory.path() / "page").string();
    std::ofstream(file) << page;
    ChildProcess promtool({"sh", "-c", "exec promtool check metrics < " + file});
    const auto status = promtool.wait_exit();
    EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0)
        << promtool.output() << promtool.errors();
    EXPECT_EQ(promtool.output() + promtool.errors(), "");
}

}  // namespace
}  // namespace penstock::test
