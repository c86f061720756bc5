#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "config/config.hpp"
#include "health/probe/make_probe.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"

/// Checks of a real web server.
namespace penstock::test {
namespace {

using health::ProbeResult;

class HttpCheck : public testing::Test {
protected:
    HttpCheck() {
        settings.health_check.type = config::CheckType::http;
        settings.health_check.timeout = scaled(patience);
    }

    /// Server lines that answer by whether `name` is there.
    [[nodiscard]] std::string by_file(const std::string& name, const std::string& there,
                                      const std::string& missing) const {
        return "location = /health { if (-f " + directory.path(name) + ") { return " + there +
               "; } return " + missing + "; }\n";
    }
    void remove(const std::string& name) const { std::filesystem::remove(directory.path(name)); }

    ProbeResult check(const Nginx& nginx, const std::string& path = "/health") {
        settings.health_check.http.path = path;
        boost::asio::io_context context;
        const auto probe = health::make_probe(context, settings, {});
        ProbeResult result;
        std::exception_ptr failed;
        const TimePoint deadline = SteadyClock().now() + settings.health_check.timeout;
        const health::ProbeTarget target{.address = Endpoint::parse(nginx.text()).value(),
                                         .host = ""};
        boost::asio::co_spawn(context, probe->check(target, deadline),
                              [&](std::exception_ptr error, ProbeResult ended) {
                                  failed = std::move(error);
                                  result = std::move(ended);
                              });
        context.run();
        if (failed) std::rethrow_exception(failed);
        return result;
    }

    TempDir directory;
    config::Upstream settings;
};

TEST_F(HttpCheck, FollowsAStatusThatChanges) {
    Nginx nginx("hello", {.server = by_file("down", "503", "200 \"fine\"")});
    settings.health_check.http.body_contains = "fine";
    for (int round = 0; round < 2; ++round) {
        const ProbeResult up = check(nginx);
        EXPECT_TRUE(up.ok) << up.detail;
        EXPECT_EQ(up.detail, "HTTP 200");
        directory.write("down", "");
        const ProbeResult down = check(nginx);
        EXPECT_FALSE(down.ok);
        EXPECT_EQ(down.detail, "HTTP 503");
        remove("down");
    }
    EXPECT_TRUE(check(nginx).ok);
    EXPECT_EQ(check(nginx, "/").detail, "HTTP 200, body lacks \"fine\"");
    EXPECT_EQ(check(nginx, "/missing").detail, "HTTP 404");
    nginx.kill();
    EXPECT_EQ(check(nginx).detail, "connection refused");
    nginx.restart();
    EXPECT_TRUE(check(nginx).ok);
}

TEST_F(HttpCheck, RolesFollowTheStatus) {
    settings.health_check.http.primary_status = {{200, 200}};
    settings.health_check.http.replica_status = {{429, 429}, {473, 473}};
    const Nginx nginx("hello", {.server = by_file("primary", "200", "429")});
    for (int round = 0; round < 2; ++round) {
        const ProbeResult replica = check(nginx);
        EXPECT_TRUE(replica.ok) << replica.detail;
        EXPECT_EQ(replica.role, Role::replica);
        directory.write("primary", "");
        const ProbeResult primary = check(nginx);
        EXPECT_TRUE(primary.ok) << primary.detail;
        EXPECT_EQ(primary.role, Role::primary);
        remove("primary");
    }
}

TEST_F(HttpCheck, HeadAndLargeBodies) {
    const std::string large = directory.write("large", std::string(200'000, 'x') + "needle");
    const Nginx nginx("hello", {.server = "location = /large { alias " + large + "; }"});
    EXPECT_TRUE(check(nginx, "/large").ok);
    settings.health_check.http.body_contains = "needle";
    EXPECT_EQ(check(nginx, "/large").detail, "HTTP 200, body lacks \"needle\" in its first 64 KiB");
    settings.health_check.http.body_contains.clear();
    settings.health_check.http.method = "HEAD";
    EXPECT_TRUE(check(nginx, "/large").ok);
}

TEST_F(HttpCheck, OverTls) {
    const std::string key = directory.path("key");
    const std::string certificate = directory.path("certificate");
    ChildProcess request({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                          key, "-out", certificate, "-days", "2", "-subj", "/CN=check.test"});
    ASSERT_EQ(request.wait_exit(), 0) << request.errors();
    const Nginx nginx("hello",
                      {.listen = "ssl",
                       .server = "ssl_certificate " + certificate + "; ssl_certificate_key " + key +
                                 ";\n" + by_file("down", "503", "204")});
    EXPECT_EQ(check(nginx).detail, "HTTP 400");  // plain text to its TLS port
    settings.health_check.tls = config::CheckTls::on;
    const ProbeResult up = check(nginx);
    EXPECT_TRUE(up.ok) << up.detail;
    EXPECT_EQ(up.detail, "HTTP 204");
    directory.write("down", "");
    EXPECT_EQ(check(nginx).detail, "HTTP 503");
    settings.health_check.type = config::CheckType::tls;
    EXPECT_TRUE(check(nginx).detail.starts_with("TLSv1."));
}

}  // namespace
}  // namespace penstock::test
