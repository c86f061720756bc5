// What operators see of TLS, server names and routes: API, command line, `check`.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsOperators : TlsScene {
    EchoServer other;

    /// Names, routes and a default, part of them passed through.
    [[nodiscard]] ConfigText routed() const {
        ConfigText config =
            terminating("", "",
                        "sni = { \"*.named.example\" = \"named\" }\n"
                        "route = [{ sni = [\"*.through.example\"], upstream = \"other\", tls = "
                        "\"passthrough\" },\n { alpn = [\"h2\"], upstream = \"other\" },\n"
                        " { source = [\"10.0.0.0/8\"], upstream = \"named\" }]\n");
        config.more = upstream_table("named", other.text()) + upstream_table("other", other.text());
        return config;
    }
    static Finished ask(const ProxyProcess& proxy, std::vector<std::string> words) {
        words.insert(words.end(),
                     {"--admin", "unix:" + (proxy.directory() / "admin.sock").string()});
        return run_penstock(words);
    }
};

TEST_F(TlsOperators, a_command_that_meets_tls_says_that_it_speaks_none) {
    ConfigText config = one_service({echo.text()});
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\n"
        "bind = \"127.0.0.1:0\"\naccess = \"read\"\ntls = { cert = " +
        in_quotes(a.cert_file) + ", key = " + in_quotes(a.key_file) + " }\n";
    ProxyProcess proxy(config);
    const std::string address = "127.0.0.1:" + tcp_admin_port(proxy);
    const std::vector<std::vector<std::string>> commands{{"status"}, {"events", "-f"}};
    for (auto words : commands) {
        words.insert(words.end(), {"--admin", address});
        const auto told = run_penstock(words);
        EXPECT_EQ(told.exit_status, 1) << words.front();
        EXPECT_NE(told.errors.find("If that port speaks TLS: the commands do not."),
                  std::string::npos)
            << told.errors;
    }
}

TEST_F(TlsOperators, explain_goes_the_way_of_a_connection) {
    ProxyProcess proxy(routed());
    struct Case {
        const char* query;
        const char* route;
        const char* condition;
        const char* upstream;
        const char* tls;
    };
    constexpr Case cases[] = {
        {"", "\"upstream\"", "null", "in", "terminate"},
        {"&sni=a.example", "\"upstream\"", "null", "in", "terminate"},
        {"&sni=x.Named.Example", "\"*.named.example\"", "\"sni\"", "named", "terminate"},
        {"&sni=x.y.through.example", "\"1\"", "\"sni *.through.example\"", "other", "passthrough"},
        {"&sni=a.example&alpn=http/1.1,h2", "\"2\"", "\"alpn h2\"", "other", "terminate"},
        {"&source=10.1.1.1", "\"3\"", "\"source\"", "named", "terminate"},
    };
    for (const Case& one : cases) {
        const auto found =
            get_json(proxy.admin(), std::string("/api/v1/explain?listener=in") + one.query);
        EXPECT_EQ(text(found.at("route")), one.route) << one.query;
        EXPECT_EQ(text(found.at("condition")), one.condition) << one.query;
        EXPECT_EQ(found.at("upstream"), one.upstream) << one.query;
        EXPECT_EQ(found.at("tls"), one.tls) << one.query;
        EXPECT_EQ(found.at("chosen"), "b0") << one.query;
    }
}

TEST_F(TlsOperators, explain_agrees_with_where_connections_go) {
    ProxyProcess proxy(routed());
    for (const std::string name : {"a.example", "x.named.example"}) {
        TlsClient client({.server_name = name});
        ASSERT_TRUE(client.open(proxy.address()) && client.ping()) << client.error();
        EXPECT_TRUE(client.close_cleanly());
        const auto lines = expect_lines(proxy, name == "a.example" ? 1 : 2);
        const auto found = get_json(proxy.admin(), "/api/v1/explain?listener=in&sni=" + name);
        EXPECT_EQ(found.at("upstream").as_string(), lines.back().upstream) << lines.back().raw;
    }
}

TEST_F(TlsOperators, the_command_explain_says_it_in_a_line) {
    ProxyProcess proxy(routed());
    const Finished finished =
        ask(proxy, {"explain", "in", "--sni", "x.through.example", "--alpn", "h2"});
    EXPECT_EQ(finished.exit_status, 0) << finished.errors;
    EXPECT_TRUE(finished.output.starts_with(
        "listener in -> route 1 (sni *.through.example) -> upstream other, "))
        << finished.output;
    EXPECT_NE(finished.output.find("TLS passes through"), std::string::npos) << finished.output;
}

TEST_F(TlsOperators, sessions_show_the_server_name_and_the_handshake) {
    ProxyProcess proxy(terminating());
    TlsClient client = connected(proxy, asks());
    auto silent = Socket::connect(proxy.address());
    ASSERT_TRUE(silent);
    std::string seen;
    EXPECT_TRUE(wait_for([&] {
        seen.clear();
        const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
        for (const auto& session : sessions.as_array())
            seen += text(session.at("state")) + text(session.at("sni")) + " ";
        return seen.find("\"relaying\"\"a.example\"") != std::string::npos &&
               seen.find("\"handshake\"null") != std::string::npos;
    })) << seen;
    const Finished shown = ask(proxy, {"sessions"});
    EXPECT_NE(shown.output.find("a.example"), std::string::npos) << shown.output << shown.errors;
}

TEST_F(TlsOperators, status_warns_of_a_certificate_that_ends_soon) {
    const Pair soon = pki.issue("soon", {.names = {"DNS:soon.example"}, .to_days = 20});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({a, soon})));
    const auto shown = get_json(proxy.admin(), "/api/v1/listeners").at(0).at("certificates");
    std::map<std::string, std::string> names;
    for (const auto& certificate : shown.as_array())  // the server's own, then its chain
        names.emplace(certificate.at("file").as_string().c_str(), text(certificate.at("names")));
    EXPECT_EQ(names[a.cert_file], "[\"a.example\"]") << text(shown);
    EXPECT_EQ(names[soon.cert_file], "[\"soon.example\"]") << text(shown);
    const Finished status = ask(proxy, {"status"});
    EXPECT_NE(status.output.find("certificate " + soon.cert_file + " expires in "),
              std::string::npos)
        << status.output << status.errors;
    EXPECT_EQ(status.output.find(a.cert_file), std::string::npos) << status.output;
}

TEST_F(TlsOperators, changes_on_disk_are_events) {
    ProxyProcess proxy(terminating());
    pki.write("a.example.pem", "no certificate\n");
    EXPECT_TRUE(wait_for([&] {
        const auto events = get_json(proxy.admin(), "/api/v1/events");
        for (const auto& event : events.as_array())
            if (event.at("kind") == "certificate" &&
                text(event.at("detail")).find("listener in: ") != std::string::npos)
                return true;
        return false;
    })) << proxy.errors();
    expect_serving(proxy);
}

// ---- check

struct CheckOfTls : TlsOperators {
    [[nodiscard]] Finished check(const ConfigText& config,
                                 std::vector<std::string> options = {}) const {
        ConfigText quiet = config;
        quiet.access_log = "target = \"off\"";
        options.insert(options.begin(), {"check", "-c", files.write("check.toml", quiet.toml())});
        return run_penstock(options);
    }
};

TEST_F(CheckOfTls, tells_how_long_certificates_last) {
    const Finished one = check(terminating());
    EXPECT_EQ(one.exit_status, 0) << one.errors;
    EXPECT_NE(one.output.find("; certificate a.example.pem: 89 days"), std::string::npos)
        << one.output;
    const Pair b = pki.issue("b", {.names = {"DNS:b.example"}, .to_days = 60});
    const ConfigText both = one_service({echo.text()}, "", "", terminates({a, b}));
    const Finished two = check(both);
    EXPECT_NE(two.output.find("; 2 certificates, first to expire b.pem: 59 days"),
              std::string::npos)
        << two.output;
    const auto listed = json::parse(check(both, {"--json"}).output).at("certificates");
    EXPECT_EQ(listed.at(0).at("file").as_string(), b.cert_file);
    EXPECT_EQ(listed.at(0).at("owner"), "in");
    EXPECT_EQ(listed.at(1).at("days_left"), 89);
}

TEST_F(CheckOfTls, strict_fails_on_a_certificate_that_ends_soon) {
    const Pair soon = pki.issue("soon", {.names = {"DNS:soon.example"}, .to_days = 20});
    const ConfigText config = one_service({echo.text()}, "", "", terminates({soon}));
    const Finished lax = check(config);
    EXPECT_EQ(lax.exit_status, 0) << lax.errors;
    EXPECT_NE(lax.errors.find("warning: listener in: " + soon.cert_file), std::string::npos)
        << lax.errors;
    EXPECT_EQ(check(config, {"--strict"}).exit_status, 2);
}

TEST_F(CheckOfTls, finds_what_is_wrong_towards_backends_too) {
    const std::string garbage = pki.write("garbage.pem", "no certificate\n");
    const ConfigText config = one_service({echo.text()}, "", encrypts(garbage));
    const Finished finished = check(config);
    EXPECT_EQ(finished.exit_status, 2);
    EXPECT_NE(finished.errors.find("error: upstream in: " + garbage), std::string::npos)
        << finished.errors;
}

TEST_F(CheckOfTls, reads_the_other_files_as_run_does) {
    ConfigText config = one_service({echo.text()}, "", "",
                                    "allow_file = " + in_quotes(files.path("absent.txt")) + "\n");
    const Finished checked = check(config);
    EXPECT_EQ(checked.exit_status, 2) << checked.output;
    EXPECT_NE(checked.errors.find("absent.txt"), std::string::npos) << checked.errors;
}

}  // namespace
}  // namespace penstock::test
