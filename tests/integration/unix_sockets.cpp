// Listeners and backends with a path instead of a port.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/integration/scenario.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

class FaultsX : public testing::Test {
protected:
    [[nodiscard]] ConfigText on_path(const fs::path& where) const {
        ConfigText config = one_service({echo.text()});
        config.services[0].bind = "unix:" + where.string();
        return config;
    }

    /// Starts a proxy that must refuse to start; returns what it said.
    std::string refused(const ConfigText& config, int exit_status) const {
        TempDir private_directory;
        ConfigText quiet = config;
        quiet.access_log = "target = \"off\"";
        const auto file = private_directory.path() / "penstock.toml";
        std::ofstream(file) << quiet.toml();
        const Finished run = run_penstock({"run", "-c", file.string()});
        EXPECT_EQ(run.exit_status, exit_status) << run.errors;
        EXPECT_EQ(run.output.find("ready"), std::string::npos);
        EXPECT_EQ(sanitizer_report_in(run.errors), "");
        return run.errors;
    }

    EchoServer echo;
    TempDir directory;
    fs::path path = directory.path() / "in.sock";
};

TEST_F(FaultsX, X1_stale_socket_is_replaced) {
    // Bound once, its owner gone: nobody listens.
    listen_on(Address::parse("unix:" + path.string())).close();
    ASSERT_TRUE(fs::is_socket(path));
    ProxyProcess proxy(on_path(path));
    EXPECT_TRUE(echo_once(proxy.address()));
    const auto lines = expect_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).client, "unix:") << lines.at(0).raw;
}

TEST_F(FaultsX, X1_live_socket_of_another_process_is_an_error) {
    EchoServer other("unix:" + path.string());
    const std::string errors = refused(on_path(path), 1);
    EXPECT_NE(errors.find(path.string()), std::string::npos) << errors;
    EXPECT_TRUE(echo_once(Address::parse("unix:" + path.string())));  // unharmed
}

TEST_F(FaultsX, X1_what_is_not_a_socket_is_never_removed) {
    std::ofstream(path) << "precious";
    EXPECT_NE(refused(on_path(path), 1).find(path.string()), std::string::npos);
    EXPECT_EQ(read_file(path), "precious");

    const auto folder = directory.path() / "folder";
    fs::create_directory(folder);
    refused(on_path(folder), 1);
    EXPECT_TRUE(fs::is_directory(folder));

    const auto target = directory.path() / "target";
    const auto link = directory.path() / "link";
    std::ofstream(target) << "precious";
    fs::create_symlink(target, link);
    refused(on_path(link), 1);
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_EQ(read_file(target), "precious");

    // Not even a stale socket is removed through a link.
    const auto stale = directory.path() / "stale";
    listen_on(Address::parse("unix:" + stale.string())).close();
    const auto to_stale = directory.path() / "to_stale";
    fs::create_symlink(stale, to_stale);
    refused(on_path(to_stale), 1);
    EXPECT_TRUE(fs::is_socket(stale));
}

TEST_F(FaultsX, X2_length_of_the_path) {
    const std::string head = directory.path().string() + "/";
    const fs::path fits = head + std::string(107 - head.size(), 'x');
    {
        ProxyProcess proxy(on_path(fits));
        EXPECT_TRUE(echo_once(proxy.address()));
    }
    const fs::path too_long = head + std::string(108 - head.size(), 'x');
    const std::string errors = refused(on_path(too_long), 2);
    EXPECT_NE(errors.find("error:"), std::string::npos) << errors;
}

TEST_F(FaultsX, X2_missing_directory_is_an_error_that_names_it) {
    const auto missing = directory.path() / "missing" / "in.sock";
    EXPECT_NE(refused(on_path(missing), 1).find(missing.string()), std::string::npos);
}

TEST_F(FaultsX, X2_socket_file_is_a_socket_and_gone_after_the_stop) {
    {
        ProxyProcess proxy(on_path(path));
        EXPECT_TRUE(fs::is_socket(path));
        EXPECT_TRUE(echo_once(proxy.address()));
    }
    EXPECT_FALSE(fs::exists(path));
}

TEST_F(FaultsX, X3_shutdown_leaves_the_socket_of_a_successor) {
    ProxyProcess first(on_path(path));
    fs::remove(path);
    ProxyProcess second(on_path(path));
    EXPECT_TRUE(echo_once(Address::parse("unix:" + path.string())));
    first.stop();
    ASSERT_TRUE(fs::is_socket(path)) << "the first one removed the successor's socket";
    EXPECT_TRUE(echo_once(Address::parse("unix:" + path.string())));
}

TEST_F(FaultsX, X4_full_backlog_of_a_backend_is_waited_for_without_spinning) {
    const auto backend = directory.path() / "backend.sock";
    FullBacklog full("unix:" + backend.string());
    ConfigText config = one_service({full.text()}, "", "connect_timeout = \"5m\"\nattempts = 1");
    config.services.push_back({.name = "impatient",
                               .backends = {full.text()},
                               .upstream = "connect_timeout = \"300ms\"\nattempts = 1"});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();

    const auto start = Clock::now();
    auto impatient = Socket::connect(proxy.address("impatient"));
    ASSERT_TRUE(impatient);
    EXPECT_EQ(impatient->wait_end(), End::reset);
    EXPECT_TRUE(window_of(300ms).contains(since(start))) << since(start).count() << " ms";

    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->send("hello"));
    expect_idle(proxy, 500ms);  // back-off, not a loop
    // Room in the queue: the waiting connection gets through.
    std::list<Socket> accepted;
    std::array<std::byte, 16> bytes;
    EXPECT_TRUE(wait_for([&] {
        accepted.splice(accepted.end(), full.drain());
        return std::ranges::any_of(accepted, [&](Socket& s) { return s.try_receive(bytes) == 5; });
    }));
    EXPECT_EQ(std::memcmp(bytes.data(), "hello", 5), 0);
    accepted.clear();
    EXPECT_NE(client->wait_end(), End::open);
    client->close();
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(lines.at(0).reason, "connect_failed") << lines.at(0).raw;
    ASSERT_FALSE(lines.at(0).attempts.empty());
    EXPECT_EQ(lines.at(0).attempts.back().error, "timeout") << lines.at(0).raw;
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
}

}  // namespace
}  // namespace penstock::test
