// The log and the disk below it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "tests/integration/admin_scenario.hpp"
#include "tests/support/held_thread.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

TEST(FaultsL, L1_full_disk_disturbs_no_traffic_and_recovers) {
    EchoServer echo;
    TempDir directory;
    ScopedMounts mounts;
    const auto disk = directory.path() / "disk";
    fs::create_directory(disk);
    mounts.mount_tmpfs(disk.string(), 64 * 1024);
    std::ofstream filler(disk / "filler");
    filler << std::string(56 * 1024, 'x') << std::flush;
    ConfigText config = one_service({echo.text()});
    config.access_log =
        "target = \"" + (disk / "access.log").string() + "\"\nflush_interval = \"50ms\"";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy);
    Probe probe(proxy.address());
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    expect_undisturbed(probe.finish());
    const AccessLogReader log(disk / "access.log");
    ASSERT_TRUE(wait_for([&] { return fs::space(disk).available == 0; }));

    filler.close();
    fs::resize_file(disk / "filler", 0);
    const std::size_t before = log.lines().size();
    // New lines come again, and whatever the full disk cut off is not glued to one of them.
    EXPECT_TRUE(wait_for([&] {
        EXPECT_TRUE(echo_once(proxy.address()));
        return log.lines().size() > before + 5;
    }));
    const Verdict verdict = judge_lines(log.lines());
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
}

TEST(FaultsL, L1_dev_full_disturbs_no_traffic) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"/dev/full\"\nflush_interval = \"50ms\"";
    ProxyProcess proxy(config);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    expect_idle(proxy, 500ms);
    EXPECT_LT(proxy.errors().size(), 10'000U);  // told, not flooded
}

TEST(FaultsL, L2_a_hung_log_sink_never_blocks_traffic) {
    EchoServer echo;
    TempDir directory;
    const auto fifo = directory.path() / "fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    ASSERT_TRUE(reader);
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"" + fifo.string() + "\"\nflush_interval = \"50ms\"";
    ProxyProcess proxy(config);
    Probe probe(proxy.address());
    // About 500 bytes a line: several times what the pipe holds.
    for (int i = 0; i < sized(1000, 2); ++i) ASSERT_TRUE(echo_once(proxy.address()));
    expect_undisturbed(probe.finish());
    proxy.stop();  // does not hang on the sink either
}

// A disk that does not come back from a write.
TEST(FaultsL, L2_a_reload_away_from_a_hung_access_log_holds_nobody_up) {
    EchoServer echo;
    TempDir directory;
    ConfigText config = one_service({echo.text()});
    const auto to = [&](const std::string& file) {
        config.access_log = "target = \"" + directory.path(file) + "\"\nflush_interval = \"50ms\"";
    };
    to("hung");
    ProxyProcess proxy(config, {.directory = directory.path(), .check_counters = false});
    EXPECT_TRUE(echo_once(proxy.address()));
    const AccessLogReader hung(directory.path("hung"));
    EXPECT_EQ(hung.wait_for_lines(1).size(), 1U);
    HeldThread writer(proxy.pid(), "access-log");
    EXPECT_TRUE(echo_once(proxy.address()));
    ASSERT_TRUE(
        wait_for([&] { return metrics_of(proxy).sum("penstock_sessions_closed_total") == 2; }));
    to("next");
    EXPECT_TRUE(proxy.change_to(config));
    const AccessLogReader next(directory.path("next"));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(next.wait_for_lines(1).size(), 1U);
    EXPECT_EQ(proxy.admin().get("/livez").status, 200);
    to("last");
    EXPECT_TRUE(proxy.change_to(config));
    writer.release();
    EXPECT_EQ(hung.wait_for_lines(2).size(), 2U) << "what it was given before is in it";
    proxy.stop();
    EXPECT_TRUE(proxy.says("access log: 3 lines written, 0 lost")) << proxy.errors();
}

TEST(FaultsL, L2_the_last_line_of_the_log_counts_what_a_slow_access_log_still_had_to_write) {
    EchoServer echo;
    TempDir directory;
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"" + directory.path("slow") + "\"\nflush_interval = \"50ms\"";
    ProxyProcess proxy(config, {.directory = directory.path(), .check_counters = false});
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(AccessLogReader(directory.path("slow")).wait_for_lines(1).size(), 1U);
    HeldThread writer(proxy.pid(), "access-log");
    EXPECT_TRUE(echo_once(proxy.address()));
    ASSERT_TRUE(
        wait_for([&] { return metrics_of(proxy).sum("penstock_sessions_closed_total") == 2; }));
    proxy.signal(SIGTERM);
    EXPECT_FALSE(proxy.says("stopped: ", 300ms)) << "before it knows";
    writer.release();
    EXPECT_TRUE(proxy.says("access log: 2 lines written, 0 lost")) << proxy.errors();
    const auto status = proxy.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(*status, 0);
}

TEST(FaultsL, L2_the_process_ends_although_a_hung_access_log_does_not) {
    EchoServer echo;
    for (const bool changed : {false, true}) {
        TempDir directory;
        ConfigText config = one_service({echo.text()});
        const auto to = [&](const std::string& file) {
            config.access_log =
                "target = \"" + directory.path(file) + "\"\nflush_interval = \"50ms\"";
        };
        to("hung");
        ProxyProcess proxy(config, {.directory = directory.path(), .check_counters = false});
        EXPECT_TRUE(echo_once(proxy.address()));
        EXPECT_EQ(AccessLogReader(directory.path("hung")).wait_for_lines(1).size(), 1U);
        HeldThread writer(proxy.pid(), "access-log");
        if (changed) {
            to("next");
            EXPECT_TRUE(proxy.change_to(config));
        }
        proxy.signal(SIGTERM);
        EXPECT_TRUE(proxy.says("the thread that writes an access log does not come back"));
        // One that is held is not gone, even when its process is, until somebody lets go of it.
        writer.release();
        const auto status = proxy.wait_exit();
        ASSERT_TRUE(status) << proxy.errors();
        EXPECT_EQ(*status, 0);
    }
}

class FaultsLRotation : public testing::Test {
protected:
    /// Traffic on a thread until the test ends; each connection completes.
    void start_traffic() {
        traffic = std::thread([this] {
            while (!stop) connections += echo_once(proxy.address()).has_value();
        });
    }
    void stop_traffic() {
        stop = true;
        if (traffic.joinable()) traffic.join();
    }
    void wait_for_traffic(std::size_t more) {
        const std::size_t goal = connections + more;
        ASSERT_TRUE(wait_for([&] { return connections >= goal; }));
    }
    /// All lines of the files together.
    std::vector<LogLine> collected(const std::vector<fs::path>& files) const {
        std::vector<LogLine> all;
        for (const fs::path& file : files) {
            const auto lines = AccessLogReader(file).lines(true);  // a cut line counts as a fault
            all.insert(all.end(), lines.begin(), lines.end());
        }
        return all;
    }
    void TearDown() override { stop_traffic(); }

    EchoServer echo;
    // What was renamed or cut off is no longer in the log.
    ProxyProcess proxy{one_service({echo.text()}), {.check_counters = false}};
    fs::path log = proxy.access_log().path();
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> connections = 0;
    std::thread traffic;
};

TEST_F(FaultsLRotation, L3_rename_and_reopen_loses_and_splits_no_line) {
    std::vector<fs::path> files;
    start_traffic();
    for (int i = 0; i < 3; ++i) {
        wait_for_traffic(50);
        files.push_back(log.string() + "." + std::to_string(i));
        fs::rename(log, files.back());
        proxy.signal(SIGUSR1);
        ASSERT_TRUE(wait_for([&] { return fs::exists(log); }));
    }
    wait_for_traffic(50);
    stop_traffic();
    proxy.stop();
    files.push_back(log);
    const auto lines = collected(files);
    EXPECT_EQ(lines.size(), connections);
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

TEST_F(FaultsLRotation, L3_truncated_file_is_appended_to_from_its_start) {
    start_traffic();
    wait_for_traffic(50);
    stop_traffic();
    ASSERT_EQ(proxy.access_log().wait_for_lines(connections).size(), connections);
    fs::copy_file(log, log.string() + ".1");
    fs::resize_file(log, 0);
    const std::size_t before = connections;
    stop = false;
    start_traffic();
    wait_for_traffic(50);
    stop_traffic();
    proxy.stop();
    const auto lines = AccessLogReader(log).lines(true);
    EXPECT_EQ(lines.size(), connections - before);  // O_APPEND: no hole of NULs at the start
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

TEST_F(FaultsLRotation, L3_deleted_file_comes_back_on_reopen) {
    start_traffic();
    wait_for_traffic(20);
    fs::remove(log);
    wait_for_traffic(20);
    proxy.signal(SIGUSR1);
    ASSERT_TRUE(wait_for([&] { return fs::exists(log); }));
    const std::size_t before = connections;
    wait_for_traffic(20);
    stop_traffic();
    proxy.stop();
    const auto lines = AccessLogReader(log).lines(true);
    EXPECT_GE(lines.size(), connections - before);
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

TEST(FaultsL, L5_nothing_from_the_wire_is_injected_into_a_log) {
    const std::string hostile =
        "\n{\"event\":\"close\",\"forged\":true}\r\n\"\\\x1b[31m\x7f\xff\xfe \xE2\x80\xAE" +
        std::string(1, '\0') + "forged\n";
    ChaosBackend backend(scripts::greet(hostile));
    ConfigText config = one_service({backend.text()});
    config.log = "level = \"debug\"";
    ProxyProcess proxy(config);
    for (int i = 0; i < 20; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->receive_text(hostile.size()), hostile);
        EXPECT_TRUE(ping(*client, hostile));
        if (i % 2 == 0) client->reset();
    }
    expect_lines(proxy, 20);
    EXPECT_EQ(read_file(proxy.access_log().path()).find("forged"), std::string::npos);
    EXPECT_EQ(proxy.errors().find("forged"), std::string::npos);
}

TEST(FaultsL, L6_connections_that_end_early_are_logged_with_their_addresses) {
    ClosedPort dead;
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.services.push_back({.name = "dead", .backends = {dead.address.text()}});
    config.services.push_back({.name = "unrouted", .routed = false});
    ProxyProcess proxy(config);
    std::vector<std::string> expected;
    for (int i = 0; i < 20; ++i) {
        const std::string source = "127.0.0." + std::to_string(10 + i) + ":0";
        for (const char* listener : {"in", "dead", "unrouted"}) {
            auto client = Socket::connect(proxy.address(listener), {.source = source});
            ASSERT_TRUE(client);
            expected.push_back(client->local().text());
            if (std::string_view(listener) == "in") {
                client->reset();
            } else {
                client->wait_end();
            }
        }
    }
    // Those that reset at once may vanish from the queue before they are accepted.
    ASSERT_TRUE(wait_for([&] { return proxy.access_log().lines().size() >= 40; }));
    EXPECT_TRUE(echo_once(proxy.address()));
    proxy.stop();
    const auto lines = proxy.access_log().lines();
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    std::size_t known = 0;
    for (const LogLine& line : lines) {
        known += static_cast<std::size_t>(std::ranges::count(expected, line.client));
        EXPECT_EQ(line.local, proxy.address(line.listener).text()) << line.raw;
    }
    EXPECT_EQ(known, lines.size() - 1);  // all but the last echo
}

}  // namespace
}  // namespace penstock::test
