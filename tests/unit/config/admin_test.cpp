#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "config/print.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using testing::load;
using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

/// A valid configuration with lines of [admin] before it, from line 2 on.
std::string with_admin(std::string_view lines) {
    return valid({}, {}, "[admin]\n" + std::string(lines) + "\n");
}

/// The same with lines of one [[admin.listener]].
std::string with_listener(std::string_view lines) {
    return valid({}, {}, "[[admin.listener]]\n" + std::string(lines) + "\n");
}

AdminListener listener_of(std::string_view lines) {
    const auto result = load(with_listener(lines));
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.admin.listeners.size(), 1U);
    return result.config.admin.listeners.at(0);
}

/// The one finding about `lines`.
std::string finding_about(std::string_view lines) {
    const auto all = short_messages(with_listener(lines));
    EXPECT_EQ(all.size(), 1U) << lines << '\n' << format(load(with_listener(lines)).diagnostics);
    return all.empty() ? "" : all[0];
}

std::vector<Endpoint> endpoints(std::initializer_list<std::string_view> texts) {
    std::vector<Endpoint> all;
    for (const auto text : texts) all.push_back(*Endpoint::parse(text));
    return all;
}

TEST(ConfigAdmin, WithoutAListenerThereIsTheSocket) {
    for (const auto& text : {valid(), with_admin("ready_upstreams = \"app\"")}) {
        const auto result = load(text);
        ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
        ASSERT_EQ(result.config.admin.listeners, (std::vector<AdminListener>{{}}));
        const auto& listener = result.config.admin.listeners[0];
        EXPECT_EQ(listener.bind, endpoints({"unix:$RUNTIME/admin.sock"}));
        EXPECT_EQ(listener.access, AdminAccess::full);
        EXPECT_EQ(listener.socket_mode, 0600U);
    }
    EXPECT_EQ(listener_of("socket_mode = \"0660\"").bind, endpoints({"unix:$RUNTIME/admin.sock"}));
}

TEST(ConfigAdmin, OneListenerReplacesTheDefault) {
    const auto listener = listener_of("bind = \"127.0.0.1:9901\"\naccess = \"metrics\"");
    EXPECT_EQ(listener.bind, endpoints({"127.0.0.1:9901"}));
    EXPECT_EQ(listener.access, AdminAccess::metrics);
}

TEST(ConfigAdmin, EveryKey) {
    const auto listener = listener_of(
        "bind = [\"10.0.0.1:9901\", \"[::1]:9901\"]\naccess = \"full\"\n"
        "token_file = \"admin.token\"\ntls = { cert = \"a.pem\", key = \"/keys/a.key\" }\n"
        "allow = [\"10.0.0.0/8\"]");
    EXPECT_EQ(listener.bind, endpoints({"10.0.0.1:9901", "[::1]:9901"}));
    EXPECT_EQ(listener.token_file, "/etc/penstock/admin.token");
    EXPECT_EQ(listener.tls.certificate, "/etc/penstock/a.pem");
    EXPECT_EQ(listener.tls.key, "/keys/a.key");
    EXPECT_EQ(listener.allow.prefixes, std::vector{*Prefix::parse("10.0.0.0/8")});
    const auto socket =
        listener_of("bind = \"unix:a.sock\"\nsocket_mode = \"0660\"\nsocket_group = \"adm\"");
    EXPECT_EQ(socket.bind, endpoints({"unix:/etc/penstock/a.sock"}));
    EXPECT_EQ(socket.socket_mode, 0660U);
    EXPECT_EQ(socket.socket_group, "adm");
    const auto result = load(with_admin("ready_upstreams = [\"app\"]\nallowed_hosts = [\"a.b\"]"));
    EXPECT_EQ(result.config.admin.ready_upstreams, std::vector<std::string>{"app"});
    EXPECT_EQ(result.config.admin.allowed_hosts, std::vector<std::string>{"a.b"});
}

TEST(ConfigAdmin, RuntimeStaysInTheValue) {
    EXPECT_EQ(listener_of("bind = \"unix:$RUNTIME/./sub//a.sock\"").bind,
              endpoints({"unix:$RUNTIME/sub/a.sock"}));
    const auto text = with_listener("bind = \"unix:$RUNTIME/admin.sock\"");
    const auto result = load_text(text, "penstock.toml", "/etc/penstock",
                                  testing::environment_of({{"RUNTIME", "/tmp"}}));
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    EXPECT_EQ(result.config.admin.listeners[0].bind, endpoints({"unix:$RUNTIME/admin.sock"}));
}

TEST(ConfigAdmin, RuntimeInAnotherPlace) {
    const std::string start = "2:8 error: 'bind' in [[admin.listener]]: ";
    struct Row {
        std::string_view bind;
        std::string_view problem;
    };
    const Row rows[] = {
        {"unix:/run/$RUNTIME/a.sock", "has $RUNTIME in its middle"},
        {"unix:./$RUNTIME/a.sock", "has $RUNTIME in its middle"},
        {"unix:@$RUNTIME", "has $RUNTIME in its middle"},
        {"$RUNTIME/a.sock", "has $RUNTIME in its middle"},
        {"unix:$RUNTIME", "is a directory"},
        {"unix:$RUNTIME//", "is a directory"},
        {"unix:$RUNTIME_DIRECTORY/a.sock", "begins with $RUNTIME and no / after it"},
        {"unix:$RUNTIME/../a.sock", "has '..' after $RUNTIME"},
    };
    for (const auto& [bind, problem] : rows) {
        const auto finding = finding_about("bind = \"" + std::string(bind) + "\"");
        EXPECT_TRUE(finding.starts_with(start + "'" + std::string(bind) + "' ")) << finding;
        EXPECT_NE(finding.find(problem), std::string::npos) << finding;
    }
    EXPECT_NE(finding_about("bind = \"unix:$RUNTIME/" + std::string(120, 'a') + "\"")
                  .find("is longer than"),
              std::string::npos);
    const auto listener = short_messages(
        "[[listener]]\nname = \"web\"\nbind = \"unix:$RUNTIME/web.sock\"\nupstream = \"app\"\n"
        "[[upstream]]\nname = \"app\"\nbackend = \"10.0.0.1:80\"\n");
    EXPECT_EQ(listener, (Messages{"3:8 error: 'bind' in [[listener]]: 'unix:$RUNTIME/web.sock' "
                                  "begins with $RUNTIME, which only 'bind' in [[admin.listener]] "
                                  "may; the environment variable of a service is "
                                  "${RUNTIME_DIRECTORY}"}));
}

TEST(ConfigAdmin, WhoNeedsAToken) {
    struct Row {
        std::string_view bind;
        std::string_view access;
        bool needs_token;
    };
    const Row rows[] = {
        {"unix:/a", "full", false},
        {"unix:/a", "read", false},
        {"127.0.0.1:9901", "full", true},
        {"127.0.0.1:9901", "read", false},
        {"127.0.0.1:9901", "metrics", false},
        {"[::1]:9901", "full", true},
        {"[::1]:9901", "read", false},
        {"10.0.0.1:9901", "full", true},
        {"10.0.0.1:9901", "read", true},
        {"10.0.0.1:9901", "metrics", false},
        {":9901", "read", true},
        {":9901", "metrics", false},
        {"0.0.0.0:9901", "read", true},
    };
    for (const auto& row : rows) {
        const auto lines = "bind = \"" + std::string(row.bind) + "\"\naccess = \"" +
                           std::string(row.access) + "\"";
        const auto where = std::string(row.bind) + ' ' + std::string(row.access);
        EXPECT_EQ(short_messages(with_listener(lines)).size(), row.needs_token ? 1U : 0U) << where;
        if (row.needs_token) {
            EXPECT_TRUE(load(with_listener(lines + "\ntoken_file = \"t\"")).diagnostics.empty())
                << where;
        }
    }
}

TEST(ConfigAdmin, MessagesAboutTokens) {
    EXPECT_EQ(finding_about("bind = [\"unix:/a\", \"127.0.0.1:9901\"]"),
              "2:20 error: whoever reaches 127.0.0.1:9901 could use the admin API with access = "
              "\"full\": make a token (openssl rand -hex 32 > admin.token; chmod 600 admin.token) "
              "and write token_file = \"admin.token\"; or write access = \"read\" or \"metrics\", "
              "which needs none");
    EXPECT_EQ(finding_about("access = \"read\"\nbind = [\"127.0.0.1:9901\", \"10.0.0.1:9901\"]"),
              "3:27 error: whoever reaches 10.0.0.1:9901 could use the admin API with access = "
              "\"read\": make a token (openssl rand -hex 32 > admin.token; chmod 600 admin.token) "
              "and write token_file = \"admin.token\"; or write access = \"metrics\", which needs "
              "none");
    EXPECT_EQ(
        finding_about("token_file = \"t\""),
        "2:14 warning: 'token_file' in [[admin.listener]] has no effect on a unix socket: who "
        "may use it is what socket_mode and socket_group say");
    EXPECT_TRUE(load(with_listener("bind = [\"unix:/a\", \"127.0.0.1:1\"]\ntoken_file = \"t\""))
                    .diagnostics.empty());
}

TEST(ConfigAdmin, SettingsOfUnixSocketsOverTcp) {
    const std::string metrics = "bind = \"127.0.0.1:9901\"\naccess = \"metrics\"\n";
    EXPECT_EQ(finding_about(metrics + "socket_mode = \"0660\""),
              "4:15 error: 'socket_mode' in [[admin.listener]] is for unix sockets, and "
              "127.0.0.1:9901 is none; leave it out, or put the unix socket into an "
              "[[admin.listener]] of its own");
    EXPECT_EQ(finding_about(metrics + "socket_group = \"adm\"").substr(0, 41),
              "4:16 error: 'socket_group' in [[admin.lis");
    EXPECT_TRUE(load(with_listener(metrics + "socket_mode = \"0600\"")).diagnostics.empty())
        << "the printed configuration gives every key";
    EXPECT_FALSE(load(with_listener("bind = [\"unix:/a\", \"127.0.0.1:1\"]\naccess = \"metrics\"\n"
                                    "socket_mode = \"0660\""))
                     .ok());
}

TEST(ConfigAdmin, SettingsOfTcpOnUnixSockets) {
    EXPECT_EQ(
        finding_about("tls = { cert = \"a\", key = \"b\" }"),
        "2:7 error: 'tls' in [[admin.listener]] is for TCP, and unix:$RUNTIME/admin.sock is a "
        "unix socket; put that into an [[admin.listener]] of its own");
    EXPECT_EQ(
        finding_about("allow = \"10.0.0.0/8\""),
        "2:9 error: 'allow' in [[admin.listener]] is for TCP, and unix:$RUNTIME/admin.sock is "
        "a unix socket, whose peers have no address; put that into an [[admin.listener]] of "
        "its own");
    const std::string metrics = "bind = \"127.0.0.1:9901\"\naccess = \"metrics\"\n";
    EXPECT_EQ(finding_about(metrics + "allow = [\"10.0.0.0/8\", \"unix\"]"),
              "4:9 error: 'allow' in [[admin.listener]] takes networks: whether a unix peer may "
              "connect is what socket_mode and socket_group say; remove \"unix\"");
    EXPECT_TRUE(load(with_listener(metrics + "tls = {}\nallow = \"all\"")).diagnostics.empty());
}

TEST(ConfigAdmin, CertAndKeyComeTogether) {
    const std::string metrics = "bind = \"127.0.0.1:9901\"\naccess = \"metrics\"\n";
    EXPECT_EQ(finding_about(metrics + "tls = { cert = \"a.pem\" }"),
              "4:7 error: 'tls' in [[admin.listener]] has a cert without its key; add key = "
              "\"admin.key\"");
    EXPECT_EQ(finding_about(metrics + "[admin.listener.tls]\nkey = \"a.key\""),
              "4:1 error: 'tls' in [[admin.listener]] has a key without a cert; add cert = "
              "\"admin.pem\"");
}

TEST(ConfigAdmin, ModesOfSockets) {
    EXPECT_EQ(listener_of("socket_mode = \"640\"").socket_mode, 0640U);
    EXPECT_EQ(listener_of("socket_mode = \"0777\"\naccess = \"metrics\"").socket_mode, 0777U);
    EXPECT_EQ(finding_about("socket_mode = 600"),
              "2:15 error: 'socket_mode' in [[admin.listener]] takes a mode in quotes; this is an "
              "integer, write socket_mode = \"0660\"");
    for (const auto* wrong : {"0680", "rw-rw----", "-600", "+600", "0o600", "", " 600", "0x1ff"})
        EXPECT_EQ(finding_about("socket_mode = \"" + std::string(wrong) + "\""),
                  "2:15 error: 'socket_mode' in [[admin.listener]]: '" + std::string(wrong) +
                      "' is no mode; write octal digits, as \"0660\"");
    for (const auto* large : {"1777", "4755"})
        EXPECT_NE(
            finding_about("socket_mode = \"" + std::string(large) + "\"").find("is above 0777"),
            std::string::npos);
    EXPECT_FALSE(load(with_listener("socket_mode = \"77777777777777777777\"")).ok());
}

TEST(ConfigAdmin, ModesWorthAWarning) {
    EXPECT_EQ(finding_about("socket_mode = \"0666\""),
              "2:15 warning: 'socket_mode' in [[admin.listener]] is \"0666\": every user of this "
              "machine could stop and change the proxy; write \"0660\" and a socket_group");
    EXPECT_TRUE(
        load(with_listener("socket_mode = \"0666\"\naccess = \"read\"")).diagnostics.empty());
    EXPECT_EQ(finding_about("socket_group = \"adm\""),
              "2:16 warning: 'socket_group' in [[admin.listener]] has no effect with socket_mode = "
              "\"0600\", which gives the group nothing; write \"0660\"");
}

TEST(ConfigAdmin, ReadyUpstreamsExist) {
    EXPECT_EQ(short_messages(with_admin("ready_upstreams = [\"app\", \"ap\"]")),
              (Messages{"2:27 error: there is no upstream 'ap'; did you mean 'app'? There are: "
                        "'app'"}));
    EXPECT_FALSE(load(with_admin("ready_upstreams = \"\"")).ok());
    EXPECT_EQ(short_messages(with_admin("ready_upstreams = \"spare\"") +
                             "[[upstream]]\nname = \"spare\"\nbackend = \"10.0.0.2:80\"\n"),
              (Messages{"13:8 warning: no listener uses upstream 'spare'"}));
}

TEST(ConfigAdmin, AllowedHosts) {
    for (const auto* good : {"proxy-1.example.com", "localhost", "10.0.0.1", "[::1]", "A.b"})
        EXPECT_TRUE(load(with_admin("allowed_hosts = \"" + std::string(good) + "\"")).ok()) << good;
    struct Row {
        std::string_view host;
        std::string_view problem;
    };
    const Row rows[] = {
        {"", "is empty"},
        {"https://a.b/", "is a URL; write the name of the host alone"},
        {"*.example.com", "has a wildcard; write each name"},
        {"a.b:9901", "has a port; write the name alone, it holds for every port"},
        {"10.0.0.1:80", "has a port; write the name alone, it holds for every port"},
        {"::1", "is an IPv6 address, which has brackets there"},
        {"a b", "is no host name"},
        {"unix:", "is no host name"},
    };
    for (const auto& [host, problem] : rows)
        EXPECT_EQ(
            short_messages(with_admin("allowed_hosts = [\"a.b\", \"" + std::string(host) + "\"]")),
            (Messages{"2:25 error: 'allowed_hosts' in [admin]: '" + std::string(host) + "' " +
                      std::string(problem)}));
}

TEST(ConfigAdmin, AddressBoundTwice) {
    const std::string metrics = "access = \"metrics\"\n";
    EXPECT_EQ(testing::messages(
                  with_listener(metrics + "bind = [\"127.0.0.1:9901\", \"127.0.0.1:9901\"]")),
              "penstock.toml:3:27: error: the address 127.0.0.1:9901 is bound twice\n"
              "    3 | bind = [\"127.0.0.1:9901\", \"127.0.0.1:9901\"]\n"
              "      |                           ^^^^^^^^^^^^^^^^\n"
              "penstock.toml:3:9: note: by the admin API here\n"
              "    3 | bind = [\"127.0.0.1:9901\", \"127.0.0.1:9901\"]\n"
              "      |         ^^^^^^^^^^^^^^^^\n");
    EXPECT_EQ(testing::messages(with_listener(metrics + "bind = \":8080\"")),
              "penstock.toml:3:8: error: the addresses 0.0.0.0:8080 and 127.0.0.1:8080 overlap: "
              "only one can be bound\n"
              "    3 | bind = \":8080\"\n"
              "      |        ^^^^^^^\n"
              "penstock.toml:6:8: note: by listener 'web' here\n"
              "    6 | bind = \"127.0.0.1:8080\"\n"
              "      |        ^^^^^^^^^^^^^^^^\n");
    const auto two = with_listener("[[admin.listener]]\nbind = \"unix:$RUNTIME/x/../admin.sock\"");
    EXPECT_FALSE(load(two).ok());
    EXPECT_EQ(short_messages(with_listener("[[admin.listener]]\nbind = \"unix:$RUNTIME/./admin."
                                           "sock\"")),
              (Messages{"3:8 error: the address unix:$RUNTIME/admin.sock is bound twice"}));
}

TEST(ConfigAdmin, TheAdminApiAsABackendIsNoCircle) {
    const auto text = valid({}, {},
                            "[[admin.listener]]\nbind = \"127.0.0.1:9901\"\n"
                            "access = \"metrics\"\n") +
                      "[[upstream.backend]]\naddress = \"127.0.0.1:9901\"\n";
    const std::string replaced = "backend = \"10.0.0.1:80\"\n";
    auto without = text;
    without.erase(without.find(replaced), replaced.size());
    EXPECT_TRUE(load(without).ok()) << format(load(without).diagnostics);
}

TEST(ConfigAdmin, FormsOfTheTable) {
    EXPECT_EQ(short_messages(with_admin("listener = []")),
              (Messages{"2:12 error: 'listener' in [admin] is empty; without [[admin.listener]] "
                        "there is the unix socket of the defaults, so leave the key out"}));
    EXPECT_EQ(short_messages(valid({}, {}, "[admin.listener]\naccess = \"read\"\n")),
              (Messages{"1:1 error: [admin.listener] must be written [[admin.listener]]: there can "
                        "be several"}));
    EXPECT_EQ(short_messages(valid({}, {}, "[[admin]]\n")),
              (Messages{"1:1 error: [[admin]] must be written [admin]: there is only one"}));
    EXPECT_TRUE(load(with_admin("listener = [{ access = \"read\" }]")).diagnostics.empty());
}

TEST(ConfigAdmin, WordsOfOthers) {
    struct Row {
        std::string_view lines;
        std::string expected;
    };
    const Row rows[] = {
        {"acess = \"full\"",
         "2:1 error: unknown key 'acess' in [[admin.listener]]; did you mean 'access'?"},
        {"level = \"admin\"",
         "2:1 error: unknown key 'level' in [[admin.listener]]; here it is access"},
        {"mode = \"0600\"",
         "2:1 error: unknown key 'mode' in [[admin.listener]]; here it is socket_mode"},
        {"name = \"a\"",
         "2:1 error: unknown key 'name' in [[admin.listener]]; here it is nothing: its address is "
         "its name"},
        {"token = \"secret\"",
         "2:1 error: unknown key 'token' in [[admin.listener]]; here it is token_file; secrets "
         "stand in files of their own"},
        {"tls = { crt = \"a\" }",
         "2:9 error: unknown key 'crt' in [admin.listener.tls]; here it is cert"},
        {"access = \"admin\"",
         "2:10 error: 'access' in [[admin.listener]]: 'admin' is unknown; here it is \"full\"; "
         "there "
         "are \"metrics\", \"read\", \"full\""},
        {"access = \"reed\"",
         "2:10 error: 'access' in [[admin.listener]]: 'reed' is unknown; did you mean \"read\"?; "
         "there are \"metrics\", \"read\", \"full\""},
        {"ready_upstreams = []",
         "2:1 error: 'ready_upstreams' belongs to [admin], not to [[admin.listener]]: move it "
         "above "
         "line 1, [[admin.listener]]"},
    };
    for (const auto& [lines, expected] : rows) EXPECT_EQ(finding_about(lines), expected);
    EXPECT_EQ(short_messages(with_admin("port = 9901")),
              (Messages{"2:1 error: unknown key 'port' in [admin]; here it is bind in "
                        "[[admin.listener]], with the port after a colon"}));
}

TEST(ConfigRebalance, EveryKey) {
    const auto result = load(valid({},
                                   "[upstream.rebalance]\non = [\"added\", \"recovered\"]\n"
                                   "over = \"1m\"\nmax_share = 0.5\nmin_age = \"0s\"\n"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.upstreams[0].rebalance, (Rebalance{.on_added = true,
                                                               .on_recovered = true,
                                                               .over = std::chrono::minutes(1),
                                                               .max_share = 0.5,
                                                               .min_age = Duration{}}));
    EXPECT_TRUE(
        load(valid({}, "rebalance = { on = \"added\" }")).config.upstreams[0].rebalance.on_added);
    EXPECT_TRUE(load(valid({}, {}, "[defaults.upstream]\nrebalance = { on = \"recovered\" }\n"))
                    .config.upstreams[0]
                    .rebalance.on_recovered);
}

TEST(ConfigRebalance, WrongValues) {
    struct Row {
        std::string_view value;
        std::string expected;
    };
    const Row rows[] = {
        {"on = \"addded\"",
         "error: 'on' in [upstream.rebalance]: 'addded' is unknown; did you mean \"added\"?; there "
         "are \"added\", \"recovered\""},
        {"on = [\"up\"]",
         "error: 'on' in [upstream.rebalance]: 'up' is unknown; here it is \"recovered\"; there "
         "are "
         "\"added\", \"recovered\""},
        {R"(on = ["added", "added"])",
         "error: 'on' in [upstream.rebalance]: 'added' is there twice"},
        {"on = true",
         "error: 'on' in [upstream.rebalance] takes a list of strings; this is a boolean, "
         "write on = [\"added\", \"recovered\"]"},
        {"max_share = 1.5",
         "error: 'max_share' in [upstream.rebalance] must be from 0 to 1, not 1.5"},
        {"over = \"never\"",
         "error: 'over' in [upstream.rebalance]: 'never' is not allowed here; it needs an end"},
        {"on = \"added\", max_share = 0",
         "warning: upstream 'app': the max_share of rebalance is 0, so no session ever moves"},
        {"on = \"added\" }\nbalance = \"maglev\"\nslow_start = { window = \"0s\"",
         "warning: upstream 'app': with this balance clients come back to the same backend, so "
         "rebalance moves nobody"},
    };
    for (const auto& [value, expected] : rows) {
        const auto all = short_messages(valid({}, "rebalance = { " + std::string(value) + " }"));
        ASSERT_EQ(all.size(), 1U) << value;
        EXPECT_EQ(all[0].substr(all[0].find(' ') + 1), expected);
    }
}

}  // namespace
}  // namespace penstock::config
