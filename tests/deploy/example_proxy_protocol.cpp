// deploy/examples/proxy-protocol: nginx or HAProxy in front, nginx behind, and what each knows of
// the client.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/support/proxy_header.hpp"

namespace penstock::test {
namespace {

struct ProxyProtocol : ::testing::Test {
    Machines machines{
        {"10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.20", "203.0.113.0/24", "192.0.2.0/24"}};
    Example example{"proxy-protocol"};
    std::unique_ptr<ServerProcess> first = run_nginx(example, "nginx.conf", "10.0.0.1:80");
    std::unique_ptr<ServerProcess> second =
        run_nginx(example, "nginx.conf", "10.0.0.2:80", {{"10.0.0.1", "10.0.0.2"}});
    std::unique_ptr<ProxyProcess> proxy = example.run({});
    std::unique_ptr<ServerProcess> front;

    /// Fronts are seen to run by a connection, which is one of Penstock's too.
    void start_nginx_in_front() { front = run_nginx(example, "nginx-front.conf", "10.0.0.10:80"); }
    void start_haproxy_in_front() {
        front = std::make_unique<ServerProcess>(ServerProcess::Command{
            .argv = {PENSTOCK_TEST_HAPROXY, "-db", "-f", example.path("haproxy-front.cfg")},
            .accepts_on = Address::parse("10.0.0.10:80")});
    }
    /// What a client of that address is told.
    [[nodiscard]] std::string asks(const std::string& client) const {
        return example.follow("curl --silent --show-error http://10.0.0.10/",
                              {{"curl", "curl --interface " + client}});
    }
    static Socket connect(const std::string& client, const std::string& to = "10.0.0.10:80") {
        auto socket = Socket::connect(Address::parse(to), {.source = client + ":0"});
        if (!socket) throw std::runtime_error("cannot connect from " + client);
        return std::move(*socket);
    }
    static bool is_served(Socket& socket) {
        return socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") &&
               socket.receive_text(12) == "HTTP/1.1 200";
    }
    /// Waits for a line of the servers' logs.
    [[nodiscard]] bool servers_log(const std::string& line) const {
        return wait_for([&] {
            return std::ranges::any_of(std::array{"10.0.0.1", "10.0.0.2"}, [&](const char* server) {
                return read_file(example.path(std::string(server) + "/access.log")).find(line) !=
                       std::string::npos;
            });
        });
    }
    [[nodiscard]] std::optional<LogLine> line_of(const std::string& client) const {
        std::optional<LogLine> found;
        wait_for([&] {
            for (const LogLine& line : proxy->access_log().lines())
                if (line.client.starts_with(client + ":")) found = line;
            return found.has_value();
        });
        return found;
    }
    void expect_client_known_everywhere(const std::string& client) const {
        const std::string told = asks(client);
        EXPECT_TRUE(told == client + " reached 10.0.0.1\n" ||
                    told == client + " reached 10.0.0.2\n")
            << told;
        EXPECT_TRUE(servers_log(client + " via 10.0.0.20 \"GET / HTTP/1.1\" 200\n"));
        const auto line = line_of(client);
        ASSERT_TRUE(line);
        EXPECT_TRUE(line->peer.starts_with("10.0.0.10:")) << line->raw;
        EXPECT_EQ(line->local, "10.0.0.10:80") << line->raw;
        EXPECT_TRUE(line->backend_local.starts_with("10.0.0.20:")) << line->raw;
    }
};

TEST_F(ProxyProtocol, nginx_in_front_and_behind) {
    example.expect_strict();
    example.expect_told("penstock check --strict\n");
    start_nginx_in_front();
    expect_client_known_everywhere("203.0.113.7");
    expect_client_known_everywhere("203.0.113.8");
}

TEST_F(ProxyProtocol, haproxy_in_front_sends_version_2) {
    start_haproxy_in_front();
    expect_client_known_everywhere("203.0.113.7");
    expect_client_known_everywhere("203.0.113.8");
}

TEST_F(ProxyProtocol, limits_and_lists_are_about_the_true_client) {
    start_haproxy_in_front();
    std::vector<Socket> sockets;
    for (int i = 0; i < 20; ++i) {
        sockets.push_back(connect("203.0.113.20"));
        ASSERT_TRUE(is_served(sockets.back())) << i;
    }
    Socket one_more = connect("203.0.113.20");
    EXPECT_FALSE(is_served(one_more));
    Socket other = connect("203.0.113.21");
    EXPECT_TRUE(is_served(other));

    Socket blocked = connect("192.0.2.1");
    EXPECT_FALSE(is_served(blocked));
    Socket welcome = connect("203.0.113.66");
    EXPECT_TRUE(is_served(welcome));
    example.follow("echo 203.0.113.66 >> /etc/penstock/blocked.txt",
                   {{"/etc/penstock", example.directory().path()}});
    // Not by asking again and again: who comes too often is refused for that.
    EXPECT_TRUE(proxy->says("to deny are in force")) << proxy->errors();
    EXPECT_TRUE(wait_for([&] {
        Socket again = connect("203.0.113.66");
        return !is_served(again);
    }));
    Socket neighbour = connect("203.0.113.67");
    EXPECT_TRUE(is_served(neighbour));
    std::string closes;
    EXPECT_TRUE(wait_for([&] {
        closes = example.follow("penstock closes --reason denied --limit 1");
        return closes.contains("203.0.113.66:");
    })) << closes;
    // haproxy comes again for its client, a second later, if the refusal reaches it before it has
    // seen its header leave.
    const MetricsPage page = metrics_of(*proxy);
    const auto refusals =
        page.value(R"(penstock_listener_refused_total{listener="web",reason="limit_source"})");
    EXPECT_GE(refusals, 1);
    std::vector<std::string> refused;
    EXPECT_TRUE(wait_for([&] {
        refused.clear();
        for (const LogLine& line : proxy->access_log().lines())
            if (line.reason == "limit_source") refused.push_back(line.client);
        return static_cast<double>(refused.size()) >= refusals;
    }));
    for (const std::string& client : refused) EXPECT_EQ(client.substr(0, 13), "203.0.113.20:");
}

TEST_F(ProxyProtocol, who_goes_past_the_front_is_refused_and_who_lies_is_not_believed) {
    const std::string lie = proxy_v2("203.0.113.9:1234", "10.0.0.10:80");
    Socket past = connect("203.0.113.30", "10.0.0.20:8080");
    EXPECT_FALSE(past.send(lie) && is_served(past));
    Socket bare = connect("10.0.0.10", "10.0.0.20:8080");
    EXPECT_FALSE(is_served(bare));
    const auto lines = expect_lines(*proxy, 2);
    for (const char* reason : {"proxy_header_untrusted", "proxy_header_invalid"}) {
        EXPECT_EQ(std::ranges::count(lines, reason, &LogLine::reason), 1) << reason;
        example.expect_told("`" + std::string(reason) + "`");
    }

    Socket at_server = connect("203.0.113.30", "10.0.0.1:80");
    ASSERT_TRUE(at_server.send(lie) && is_served(at_server));
    EXPECT_TRUE(servers_log("203.0.113.30 via 203.0.113.30 "));
}

TEST_F(ProxyProtocol, servers_that_expect_no_header_are_down_as_the_readme_says) {
    first.reset();
    first = run_nginx(example, "nginx.conf", "10.0.0.1:80", {{"80 proxy_protocol", "80"}});
    std::string cause;
    EXPECT_TRUE(wait_for([&] {
        const auto upstreams = get_json(proxy->admin(), "/api/v1/upstreams");
        cause = boost::json::serialize(upstreams);
        return cause.contains("HTTP 400") &&
               metrics_of(*proxy).value(
                   R"(penstock_backend_check_up{upstream="web",backend="10.0.0.1:80"})") == 0;
    })) << cause;
}

}  // namespace
}  // namespace penstock::test
