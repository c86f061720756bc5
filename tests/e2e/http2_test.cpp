#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/e2e/scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/nginx.hpp"

/// HTTP/2 over TLS between client and nginx; the proxy carries it without being part of it.
namespace penstock::test {
namespace {

constexpr const char* name = "backend.example.test";

// A certificate for `name`, and a document root with a large file.
class Http2 : public ::testing::Test {
protected:
    Http2() {
        run_program({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                     std::string("/CN=") + name, "-addext",
                     std::string("subjectAltName=DNS:") + name, "-keyout", path("key.pem"), "-out",
                     path("cert.pem")});
        std::mt19937 random(11);  // fixed: the same in every run
        for (std::size_t i = 0; i < (8U << 20); ++i) large_ += static_cast<char>(random());
        std::filesystem::create_directory(path("www"));
        std::ofstream(path("www/large"), std::ios::binary) << large_;
    }

    [[nodiscard]] std::string path(const std::string& file) const {
        return (directory_.path() / file).string();
    }
    [[nodiscard]] NginxOptions options() const {
        return {.listen = "ssl http2",
                .server = "ssl_certificate " + path("cert.pem") + ";\nssl_certificate_key " +
                          path("key.pem") + ";\nlocation = /large { root " + path("www") + "; }"};
    }

    TempDir directory_;
    std::string large_;
};

TEST_F(Http2, LargeFileArrivesByteForByte) {
    Nginx nginx("hello", options());
    ProxyProcess proxy(proxy_for({nginx.text()}));
    const std::string port = port_of(proxy.address());
    // The client trusts this one certificate alone: nothing in between has terminated the TLS.
    const std::string version =
        curl({"--http2", "--cacert", path("cert.pem"), "--resolve",
              std::string(name) + ":" + port + ":" + host_of(proxy.address()), "--output",
              path("got"), "--write-out", "%{http_version} %{response_code}",
              std::string("https://") + name + ":" + port + "/large"});
    EXPECT_EQ(version, "2 200");
    EXPECT_TRUE(read_file(path("got")) == large_);  // EXPECT_EQ would print both
    const auto lines = stop_with_lines(proxy, 1);
    EXPECT_GT(lines.at(0).bytes_to_client, large_.size());
}

TEST_F(Http2, ManyStreamsOnFewConnections) {
    Nginx nginx("hello", options());
    ProxyProcess proxy(proxy_for({nginx.text()}));
    constexpr unsigned connections = 10;
    const auto requests = static_cast<unsigned>(sized(5000));
    const std::string number = std::to_string(requests);
    const std::string report =
        run_program({"h2load", "-n", number, "-c", std::to_string(connections), "-m", "20",
                     "https://" + proxy.address().text() + "/"},
                    60s);
    EXPECT_NE(report.find("Application protocol: h2\n"), std::string::npos) << report;
    EXPECT_NE(
        report.find(number + " done, " + number + " succeeded, 0 failed, 0 errored, 0 timeout"),
        std::string::npos)
        << report;
    EXPECT_NE(report.find("status codes: " + number + " 2xx, 0 3xx, 0 4xx, 0 5xx"),
              std::string::npos)
        << report;
    const auto lines = stop_with_lines(proxy, connections);
    // Both sides say goodbye in TLS; the client may be gone before the server's has arrived.
    for (const LogLine& line : lines)
        EXPECT_TRUE(line.reason == "completed" || line.reason == "client_reset") << line.raw;
    EXPECT_EQ(nginx.status().accepted, connections);
    EXPECT_EQ(nginx.status().requests, requests);
}

}  // namespace
}  // namespace penstock::test
