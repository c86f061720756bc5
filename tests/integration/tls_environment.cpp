// What surrounds the program cannot make its TLS weaker: files of OpenSSL's that the environment
// names, an OpenSSL that lacks what is needed.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

using TlsEnvironment = TlsScene;

// Each of these would be felt: no algorithm at all, and versions that nobody may use any more.
TEST_F(TlsEnvironment, T17_files_that_the_environment_names_change_nothing) {
    const std::string no_algorithms = files.write(
        "none.cnf",
        "openssl_conf = all\n[all]\nproviders = some\n[some]\nbase = on\n[on]\nactivate = 1\n");
    const std::string weak =
        files.write("weak.cnf",
                    "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = weak\n"
                    "[weak]\nMinProtocol = TLSv1\nMaxProtocol = TLSv1.1\n"
                    "CipherString = ALL:@SECLEVEL=0\n");
    for (const std::string& hostile : {no_algorithms, weak}) {
        ProxyProcess proxy(terminating(), {.spawn = {.environment = {{"OPENSSL_CONF", hostile}}}});
        TlsClient old({.min_version = TlsVersion::tls11, .max_version = TlsVersion::tls11});
        EXPECT_FALSE(old.open(proxy.address()));
        EXPECT_EQ(old.alert(), alerts::protocol_version);
        TlsClient modern(asks());
        ASSERT_TRUE(modern.open(proxy.address())) << modern.error();
        EXPECT_EQ(modern.version(), "TLSv1.3");
    }
}

TEST_F(TlsEnvironment, T17_without_its_algorithms_the_program_refuses_to_start) {
    const std::string file = files.write("penstock.toml",
                                         "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\n"
                                         "upstream = \"up\"\n" +
                                             terminates({a}) + upstream_table("up", echo.text()));
    EXPECT_EQ(run_penstock({"check", "-c", file}).exit_status, 0);
    const std::vector<std::string> bare{"env", "LD_PRELOAD=" PENSTOCK_TEST_NO_ALGORITHMS,
                                        "ASAN_OPTIONS=verify_asan_link_order=0"};
    for (const char* command : {"check", "run"}) {
        const Finished refused = run_penstock({command, "-c", file}, patience, bare);
        EXPECT_EQ(refused.exit_status, 1) << command << refused.output << refused.errors;
        EXPECT_NE(refused.errors.find("OpenSSL"), std::string::npos) << refused.errors;
        EXPECT_NE(refused.errors.find("provider"), std::string::npos) << refused.errors;
        EXPECT_EQ(refused.output.find("ready"), std::string::npos) << refused.output;
    }
}

}  // namespace
}  // namespace penstock::test
