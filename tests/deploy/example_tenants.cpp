// deploy/examples/tenants: two hundred names in front of a real server that has them all.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/deploy/example.hpp"
#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/tls_client.hpp"

namespace penstock::test {
namespace {

const std::string ask_all =
    "curl -s --cacert ca.pem --resolve '*:443:10.0.0.10' 'https://t[001-200].example.com/'";

const Address entrance = Address::parse("10.0.0.10:443");

struct ExampleTenants : ::testing::Test {
    Machines machines{{"10.0.0.10/16"}};
    Example example{"tenants"};
    TempDir files;
    Pki pki{files};
    Pair pair = pki.server("*.example.com");
    /// Says at which of its addresses it was asked, and for which name.
    Nginx tenants{"$server_addr $ssl_server_name",
                  {.listen = "ssl",
                   .server = "ssl_certificate " + pair.cert_file + ";\nssl_certificate_key " +
                             pair.key_file + ";",
                   .address = "0.0.0.0:8443"}};

    void SetUp() override {
        std::filesystem::copy(pki.ca_file(), example.path("ca.pem"));
        EXPECT_EQ(example.follow("./tenants.sh"), "200 tenants\n");
    }
    static std::string answer(int number, const std::string& name) {
        return "10.0.1." + std::to_string(number) + " " + name + "\n";
    }
};

TEST_F(ExampleTenants, each_name_reaches_its_tenant) {
    const auto start = Clock::now();
    example.expect_strict();
    EXPECT_LT(since(start), scaled(promptly)) << "a tenth of a second, on a quiet machine";
    const auto proxy = example.run({});
    std::string all;
    for (int i = 1; i <= 200; ++i) {
        const std::string number = std::to_string(i);
        all += answer(i, "t" + std::string(3 - number.size(), '0') + number + ".example.com");
    }
    EXPECT_EQ(example.follow(ask_all), all);

    TlsClient unknown({.server_name = "other.example.com", .ca_file = pki.ca_file()});
    EXPECT_FALSE(unknown.open(entrance));
    ASSERT_TRUE(wait_for([&] {
        return std::ranges::count(proxy->access_log().lines(), "no_route", &LogLine::reason) == 1;
    }));
    EXPECT_NE(example.follow("penstock closes --reason no_route").find("tenants"),
              std::string::npos);
}

TEST_F(ExampleTenants, one_comes_and_nobody_else_notices) {
    const auto proxy = example.run({});
    TlsClient lasting({.server_name = "t001.example.com", .ca_file = pki.ca_file()});
    ASSERT_TRUE(lasting.open(entrance)) << lasting.error();

    example.follow("echo 'acme acme.example.com 10.0.1.201:8443' >> tenants.txt");
    EXPECT_EQ(example.follow("./tenants.sh"), "201 tenants\n");
    const std::string changes =
        "~ listener tenants\n"
        "    ~ sni  none -> acme.example.com=acme  new connections only\n"
        "+ upstream acme                           at once\n";
    const std::string plan = example.follow("penstock plan");
    EXPECT_TRUE(plan.starts_with(changes + "0 sessions closed now, 0 draining.")) << plan;
    EXPECT_EQ(example.follow("penstock reload"),
              changes + "reloaded: 0 sessions closed now, 0 draining\n");
    example.expect_told(changes);
    EXPECT_EQ(example.follow("curl -s --cacert ca.pem --resolve '*:443:10.0.0.10' "
                             "https://acme.example.com/"),
              answer(201, "acme.example.com"));
    const std::string explained = example.follow("penstock explain tenants --sni acme.example.com");
    const std::string route = "listener tenants -> route acme.example.com (sni) -> upstream acme, ";
    EXPECT_TRUE(explained.starts_with(route)) << explained;
    example.expect_told(route);

    ASSERT_TRUE(lasting.send("GET / HTTP/1.1\r\nHost: t001\r\nConnection: close\r\n\r\n"));
    EXPECT_EQ(lasting.receive_text(15), "HTTP/1.1 200 OK");
}

TEST_F(ExampleTenants, columns_may_be_aligned) {
    example.directory().write("tenants.txt",
                              "  acme \t acme.example.com   10.0.1.1:8443  \t [::1]:8443  \n"
                              "other   other.example.com  10.0.1.2:8443");
    EXPECT_EQ(example.follow("./tenants.sh"), "2 tenants\n");
    example.expect_strict();
    const std::string written = read_file(example.path("conf.d/tenants.toml"));
    for (const char* line :
         {"backend = [\"10.0.1.1:8443\", \"[::1]:8443\"]\n", "backend = [\"10.0.1.2:8443\"]\n"})
        EXPECT_NE(written.find(line), std::string::npos) << written;
}

TEST_F(ExampleTenants, a_mistake_leaves_everything_as_it_was) {
    const std::string before = read_file(example.path("conf.d/tenants.toml"));
    const std::string good = read_file(example.path("tenants.txt"));
    for (const char* line :
         {"Acme acme.example.com 10.0.1.201:8443", "acme acme_1 10.0.1.201:8443",
          "acme acme.example.com", "acme t001.example.com 10.0.1.201:8443",
          "t001 acme.example.com 10.0.1.201:8443", "acme acme.example.com 10.0.1.201:8443\", 1"}) {
        example.directory().write("tenants.txt", good + line);
        ChildProcess script({example.path("tenants.sh")});
        const auto status = script.wait_exit();
        EXPECT_TRUE(status && *status != 0) << line;
        EXPECT_TRUE(script.errors().starts_with("tenants.txt:202: ")) << script.errors();
        EXPECT_EQ(read_file(example.path("conf.d/tenants.toml")), before) << line;
    }
}

}  // namespace
}  // namespace penstock::test
