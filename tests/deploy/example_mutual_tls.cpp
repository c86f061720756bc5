// deploy/examples/mutual-tls, with nginx behind: who gets in, who is shut out while it runs, and
// that certificates on both sides change under traffic without anybody noticing.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/deploy/machines.hpp"
#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

const std::string question =
    "GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\n\r\n";

// In the order of the README: the authorities, the proxy, the servers.
const std::array<std::string, 3> steps{
    R"(for name in public internal clients; do ./authority.sh create ca/$name; done
./authority.sh server ca/public new/api api.example.com
./authority.sh server ca/internal new/web api.internal
./authority.sh client ca/internal new/proxy proxy.internal
./authority.sh client ca/clients new/one one.clients.example.com)",
    R"(install -d -o penstock -g penstock -m 750 /etc/penstock/tls /etc/penstock/tls/{api,proxy,clients,internal}
for name in clients internal; do ./authority.sh publish ca/$name /etc/penstock/tls/$name; done
for name in api proxy; do ./renew.sh new/$name.pem new/$name.key /etc/penstock/tls/$name; done)",
    R"(./renew.sh new/web.pem new/web.key /etc/nginx/tls/web
./authority.sh publish ca/internal /etc/nginx/tls/internal)"};

const std::string publish = "./authority.sh publish ca/clients /etc/penstock/tls/clients";

const std::string asks_as_one =
    R"(curl --silent --show-error --cacert ca/public/ca.pem --cert new/one.pem --key new/one.key \
    --resolve api.example.com:8443:10.0.0.20 https://api.example.com:8443/)";

struct MutualTls : ::testing::Test {
    Machines machines{{"10.0.0.1", "10.0.0.2", "10.0.0.20"}};
    Example example{"mutual-tls"};
    std::unique_ptr<ServerProcess> first;
    std::unique_ptr<ServerProcess> second;
    std::unique_ptr<ProxyProcess> proxy;

    const Changes here{{"/etc/penstock", example.directory().path()}};

    void SetUp() override {
        example.follow(steps[0]);
        // The package's user need not exist here: this one stands for it.
        example.follow(steps[1], {here[0], {"-o penstock -g penstock", "-o nobody -g nogroup"}});
        example.follow(steps[2], {{"/etc/nginx", example.directory().path()}});
        first = run_nginx(example, "nginx.conf", "10.0.0.1:8443");
        second = run_nginx(example, "nginx.conf", "10.0.0.2:8443", {{"10.0.0.1", "10.0.0.2"}});
        example.expect_strict();
        // It runs as another user than whoever renews and revokes, and can reach its program.
        const std::string program = example.path("penstock");
        std::filesystem::copy_file(penstock_binary(), program);
        run_program({"chown", "nobody:nogroup", example.directory().path().string()});
        proxy = example.run(
            {}, {.wrapper = {"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"},
                 .binary = program});
    }
    /// A command of this kind that the README does not need to show.
    void make(const std::string& arguments) const {
        run_program({"env", "--chdir=" + example.directory().path().string(), "bash", "-euc",
                     "./" + arguments});
    }
    [[nodiscard]] Pair pair(const std::string& name) const {
        return {.cert_file = example.path("new/" + name + ".pem"),
                .key_file = example.path("new/" + name + ".key")};
    }
    [[nodiscard]] std::string serial(const std::string& file) const {
        const std::string line =
            run_program({"openssl", "x509", "-noout", "-serial", "-in", example.path(file)});
        return line.substr(line.find('=') + 1, line.size() - line.find('=') - 2);
    }
    [[nodiscard]] TlsClientOptions as(const Pair* certificate) const {
        return {.server_name = "api.example.com",
                .ca_file = example.path("ca/public/ca.pem"),
                .certificate = certificate};
    }
    /// What the server says to that client; "" = it was refused, `alert` says how.
    [[nodiscard]] std::string answer(const Pair* certificate,
                                     std::optional<int>* alert = nullptr) const {
        TlsClient client(as(certificate));
        const bool open = client.open(proxy->address("api")) && client.send(question);
        const std::string text = open ? next_answer(client) : "";
        if (alert) *alert = client.alert();
        return text;
    }
    /// The next answer on that connection: its body.
    static std::string next_answer(TlsClient& client) {
        std::string text;
        while (text.find(" for ") == text.npos || !text.ends_with("\n")) {
            const std::string more = client.receive_some();
            if (more.empty()) return "";
            text += more;
        }
        return text.substr(text.find("\r\n\r\n") + 4);
    }
    [[nodiscard]] std::size_t reloads(const std::string& result) const {
        return static_cast<std::size_t>(metrics_of(*proxy).value(
            "penstock_tls_certificate_reloads_total{result=\"" + result + "\"}"));
    }
};

TEST_F(MutualTls, only_named_clients_get_in_and_servers_see_the_proxy) {
    const std::string told = example.follow(asks_as_one);
    const std::string expected = " for CN=proxy.internal " + serial("new/proxy.pem") + "\n";
    EXPECT_TRUE(told == "10.0.0.1" + expected || told == "10.0.0.2" + expected) << told;

    make("authority.sh client ca/clients new/reports spiffe://example.com/reports");
    const Pair reports = pair("reports");
    EXPECT_TRUE(answer(&reports).ends_with(expected));
    const auto served = expect_lines(*proxy, 2);
    for (const char* subject : {"CN=one.clients.example.com", "CN=reports"})
        EXPECT_TRUE(std::ranges::any_of(served, [&](const LogLine& line) {
            return line.tls.client_cert == subject;
        })) << subject;

    make("authority.sh client ca/clients new/deep a.b.clients.example.com");
    make("authority.sh client ca/internal new/foreign two.clients.example.com");
    const Pair deep = pair("deep");
    const Pair foreign = pair("foreign");
    for (const Pair* refused : {&deep, &foreign, static_cast<const Pair*>(nullptr)}) {
        std::optional<int> alert;
        EXPECT_EQ(answer(refused, &alert), "");
        EXPECT_TRUE(alert);
    }
    const auto lines = expect_lines(*proxy, 5);
    EXPECT_EQ(std::ranges::count(lines, "tls_client_cert", &LogLine::reason), 3);
    const std::string closes = example.follow("penstock closes --reason tls_client_cert --limit 3");
    EXPECT_EQ(std::ranges::count(closes, '\n'), 4) << closes;
}

TEST_F(MutualTls, the_proxy_cannot_read_the_key_of_any_authority) {
    for (const auto& file :
         std::filesystem::recursive_directory_iterator(example.directory().path())) {
        if (file.path().filename() != "ca.key") continue;
        ChildProcess reader({"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                             "cat", file.path().string()});
        EXPECT_NE(reader.wait_exit(), 0) << file.path();
        EXPECT_NE(file.path().string().find("/ca/"), std::string::npos) << file.path();
    }
    EXPECT_TRUE(std::filesystem::exists(example.path("ca/clients/ca.key")));
}

TEST_F(MutualTls, a_revoked_client_is_out_a_moment_later) {
    const Pair one = pair("one");
    TlsClient stays(as(&one));
    ASSERT_TRUE(stays.open(proxy->address("api")) && stays.send(question)) << stays.error();
    EXPECT_NE(next_answer(stays), "");
    ASSERT_TRUE(stays.session());

    make("authority.sh client ca/clients new/two two.clients.example.com");
    example.follow("./authority.sh revoke ca/clients new/one.pem\n" + publish, here);
    ASSERT_TRUE(wait_for([&] { return answer(&one).empty(); }));
    TlsClient resumes(as(&one), stays.session());
    EXPECT_FALSE(resumes.open(proxy->address("api")) && resumes.send(question) &&
                 !next_answer(resumes).empty());
    const Pair two = pair("two");
    EXPECT_NE(answer(&two), "") << "of the same authority, and not on its list";
    EXPECT_TRUE(stays.send(question));
    EXPECT_NE(next_answer(stays), "") << "whoever is in, stays";
    example.follow("./authority.sh list ca/clients && " + publish, here);
    EXPECT_TRUE(wait_for([&] { return reloads("success") >= 2; }));
    EXPECT_EQ(answer(&one), "");
    EXPECT_NE(answer(&two), "");
}

TEST_F(MutualTls, renewed_under_traffic_on_both_sides) {
    const Pair one = pair("one");
    TlsClient stays(as(&one));
    ASSERT_TRUE(stays.open(proxy->address("api")) && stays.send(question));
    const std::string before = next_answer(stays);
    const std::string old_proxy = serial("new/proxy.pem");
    EXPECT_TRUE(before.ends_with(old_proxy + "\n")) << before;

    std::atomic<int> served = 0;
    std::atomic<int> failed = 0;
    std::jthread traffic([&](const std::stop_token& over) {
        while (!over.stop_requested()) ++(answer(&one).empty() ? failed : served);
    });
    const auto more_traffic = [&] {
        const int seen = served;
        return wait_for([&] { return served >= seen + 10; });
    };
    EXPECT_TRUE(more_traffic());
    const std::string renewed = R"(./authority.sh server ca/public new/api api.example.com
./renew.sh new/api.pem new/api.key /etc/penstock/tls/api)";
    const std::string said = example.follow(renewed, here);
    const std::string new_api = serial("new/api.pem");
    EXPECT_NE(said.find("in force: serial=" + new_api), said.npos) << said;
    EXPECT_TRUE(wait_for([&] {
        TlsClient client(as(&one));
        return client.open(proxy->address("api")) &&
               client.peer_serial() == std::stoll(new_api, nullptr, 16);
    }));
    EXPECT_TRUE(more_traffic());

    make("authority.sh client ca/internal new/proxy proxy.internal");
    make("renew.sh new/proxy.pem new/proxy.key tls/proxy");
    const std::string new_proxy = serial("new/proxy.pem");
    ASSERT_NE(new_proxy, old_proxy);
    EXPECT_TRUE(wait_for([&] { return answer(&one).ends_with(new_proxy + "\n"); }));
    EXPECT_TRUE(more_traffic());
    traffic.request_stop();
    traffic.join();
    EXPECT_EQ(failed, 0) << "of " << served + failed;
    EXPECT_EQ(reloads("failure"), 0U) << "never one file of each pair";
    EXPECT_TRUE(stays.send(question));
    EXPECT_EQ(next_answer(stays), before) << "the same connection to the same server";

    const std::string events = example.follow("penstock events | grep certificate");
    EXPECT_NE(events.find("certificate listener api: changed certificates and keys are in force"),
              events.npos)
        << events;
}

TEST_F(MutualTls, what_does_not_fit_is_not_put_in_force) {
    make("authority.sh server ca/public new/other api.example.com");
    EXPECT_THROW(make("renew.sh new/api.pem new/other.key tls/api"), std::runtime_error);
    EXPECT_THROW(make("renew.sh new/nothing.pem new/other.key tls/api"), std::runtime_error);
    EXPECT_EQ(serial("tls/api/current/cert.pem"), serial("new/api.pem"));
    for (int i = 0; i < 4; ++i) make("renew.sh new/other.pem new/other.key tls/api");
    EXPECT_EQ(serial("tls/api/current/cert.pem"), serial("new/other.pem"));
    const auto entries = std::filesystem::directory_iterator(example.path("tls/api"));
    EXPECT_EQ(std::distance(begin(entries), end(entries)), 4) << "the link and three pairs";
}

TEST_F(MutualTls, a_server_of_another_name_gets_no_client) {
    const Pair one = pair("one");
    first.reset();
    make("authority.sh server ca/internal new/wrong other.internal");
    make("renew.sh new/wrong.pem new/wrong.key tls/web");
    first = run_nginx(example, "nginx.conf", "10.0.0.1:8443");
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(answer(&one).starts_with("10.0.0.2 for ")) << i;
    EXPECT_TRUE(wait_for([&] {
        return metrics_of(*proxy).value(
                   "penstock_backend_up{upstream=\"api\",backend=\""
                   "10.0.0.1:8443\"}") == 0;
    })) << "its check verifies as well";
}

}  // namespace
}  // namespace penstock::test
