// What a service manager is told: sd_notify(3).
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/held_thread.hpp"

namespace penstock::test {
namespace {

/// The socket that a service manager listens on for its services.
class NotifySocket {
public:
    explicit NotifySocket(const std::string& address) {
        fd_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const Address at = Address::parse("unix:" + address);
        EXPECT_EQ(::bind(fd_.get(), at.data(), at.size()), 0);
    }

    /// Everything received so far, one message each.
    const std::vector<std::string>& messages() {
        std::array<char, 4096> buffer;
        for (;;) {
            const auto n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (n <= 0) return messages_;
            messages_.emplace_back(buffer.data(), static_cast<std::size_t>(n));
        }
    }
    /// Those from the n-th on that are about states, in their order: what is no ping and no text.
    std::vector<std::string> states(std::size_t from = 0) {
        std::vector<std::string> found;
        const auto& all = messages();
        for (std::size_t i = from; i < all.size(); ++i) {
            std::istringstream lines(all[i]);
            for (std::string line; std::getline(lines, line);)
                if (line.starts_with("READY=") || line.starts_with("RELOADING=") ||
                    line.starts_with("STOPPING=") || line.starts_with("MAINPID="))
                    found.push_back(line);
        }
        return found;
    }
    std::size_t count(std::string_view line) {
        return static_cast<std::size_t>(std::ranges::count_if(
            messages(), [&](const auto& m) { return m.find(line) != std::string::npos; }));
    }
    bool wait_for_states(std::size_t count, std::size_t from = 0) {
        return wait_for([&] { return states(from).size() >= count; });
    }

private:
    UniqueFd fd_;
    std::vector<std::string> messages_;
};

using States = std::vector<std::string>;

ProxyOptions notifying(const std::string& address, std::map<std::string, std::string> more = {}) {
    ProxyOptions options;
    options.spawn.environment = std::move(more);
    options.spawn.environment["NOTIFY_SOCKET"] = address;
    return options;
}

TEST(FaultsG, G10_ready_comes_when_clients_can) {
    FullBacklog slow;  // its check holds up the start until the time-out
    EchoServer echo;
    TempDir directory;
    const std::string address = directory.path("notify");
    NotifySocket manager(address);
    ConfigText config = one_service({echo.text()});
    config.services[0].bind = own_address(7001);
    config.services.push_back(
        {.name = "slow",
         .bind = "127.0.0.2:0",
         .backends = {slow.text()},
         .upstream = "health_check = { type = \"tcp\", interval = \"10s\", timeout = \"1s\" }"});
    ProxyOptions options = notifying(address);
    options.wait_ready = false;
    ProxyProcess proxy(config, options);
    ASSERT_TRUE(wait_for([&] {
        // Never told too early: at that moment somebody listens.
        if (manager.count("READY=1") == 0) return false;
        EXPECT_TRUE(Socket::connect(Address::parse(own_address(7001))));
        return true;
    }));
    EXPECT_TRUE(wait_for([&] { return proxy.child().output().ends_with("ready\n"); }));
    EXPECT_EQ(manager.states(), (States{"READY=1"}));
    proxy.signal(SIGTERM);
    proxy.wait_exit();
    EXPECT_EQ(manager.states(), (States{"READY=1", "STOPPING=1"}));
}

TEST(FaultsG, G10_a_reload_is_told_with_its_time_and_its_end) {
    EchoServer echo;
    const std::string name = "@penstock-notify-" + own_address(1);
    NotifySocket manager(name);
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config, notifying(name));
    const auto before = std::chrono::steady_clock::now().time_since_epoch();
    const std::size_t from = manager.messages().size();
    config.services[0].upstream = "attempts = 1";
    ASSERT_TRUE(proxy.change_to(config));
    ASSERT_TRUE(manager.wait_for_states(2, from));
    EXPECT_EQ(manager.states(from), (States{"RELOADING=1", "READY=1"}));
    // In one message with RELOADING=1, on the clock that systemd compares it with.
    bool timed = false;
    for (const std::string& message : manager.messages()) {
        if (message.find("RELOADING=1") == std::string::npos) continue;
        const auto at = message.find("MONOTONIC_USEC=");
        ASSERT_NE(at, std::string::npos) << message;
        const auto told = std::chrono::microseconds(std::stoll(message.substr(at + 15)));
        timed = told >= before && told <= std::chrono::steady_clock::now().time_since_epoch();
    }
    EXPECT_TRUE(timed);
    // Also of a reload that fails: systemd would wait for its end for ever.
    const std::size_t then = manager.messages().size();
    proxy.rewrite("no_such_key = 1\n");
    EXPECT_FALSE(proxy.reload());
    ASSERT_TRUE(manager.wait_for_states(2, then));
    EXPECT_EQ(manager.states(then), (States{"RELOADING=1", "READY=1"}));
}

TEST(FaultsG, G10_a_term_during_the_delay_before_the_stop_is_told_at_once) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 1\nshutdown_delay = \"10m\"";
    ProxyProcess proxy(config, notifying(directory.path("notify")));
    proxy.signal(SIGTERM);
    ASSERT_TRUE(manager.wait_for_states(2));
    EXPECT_EQ(manager.states(), (States{"READY=1", "STOPPING=1"}));
    EXPECT_TRUE(echo_once(proxy.address()));
    proxy.signal(SIGTERM);
    proxy.wait_exit();
}

TEST(FaultsG, G10_a_reload_that_a_stop_ends_is_not_told_to_be_ready) {
    EchoServer echo;
    const FullBacklog mute;  // its check takes as long as it may
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config =
        one_service({echo.text()}, "", "health_check = { type = \"tcp\", timeout = \"3s\" }");
    config.drain = patient_drain;
    ProxyOptions options = notifying(directory.path("notify"));
    options.check_counters = false;  // of a listener that never was
    ProxyProcess proxy(config, options);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    const Address fresh = Address::parse(own_address(7012));
    config.services[0].backends.push_back(mute.text());
    config.services.push_back(
        {.name = "fresh", .bind = own_address(7012), .backends = {echo.text()}});
    proxy.rewrite(config);
    proxy.signal(SIGHUP);
    ASSERT_TRUE(wait_for([&] { return Socket::connect(fresh).has_value(); }));
    proxy.signal(SIGTERM);
    EXPECT_TRUE(wait_for([&] { return !Socket::connect(fresh); })) << "the reload has ended";
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    proxy.stop();
    EXPECT_EQ(manager.states(), (States{"READY=1", "RELOADING=1", "STOPPING=1"}));
}

TEST(FaultsG, G10_after_an_upgrade_the_new_process_is_the_main_one) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config, notifying(directory.path("notify")));
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    for (int i = 0; i < 2; ++i) {
        const std::size_t from = manager.messages().size();
        ASSERT_TRUE(proxy.upgrade());
        const std::string main = "MAINPID=" + std::to_string(proxy.pid());
        EXPECT_TRUE(wait_for([&] { return manager.count(main) > 0; }));
        for (const std::string& state : manager.states(from)) {
            EXPECT_TRUE(state == main || state.starts_with("READY=") ||
                        state.starts_with("RELOADING="))
                << state << ": the service does not stop";
        }
    }
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    EXPECT_EQ(manager.count("STOPPING=1"), 0U) << "the end of an old process is not the service's";
    proxy.stop();
    EXPECT_EQ(manager.count("STOPPING=1"), 1U);
}

// Beside the main process of a service is another one, which starts its successors; it takes
// nothing away where there is no sandbox.
TEST(ServiceManager, without_a_sandbox_nothing_is_denied_to_the_next_process_either) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 1\nsandbox = \"off\"";
    ProxyProcess proxy(config, notifying(directory.path("notify")));
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(proxy.upgrade());
        const std::string text = read_file("/proc/" + std::to_string(proxy.pid()) + "/status");
        EXPECT_NE(text.find("NoNewPrivs:\t0\n"), std::string::npos) << text;
    }
}

// When the main process has ended systemd signals those that are left once more: for them, "at
// once".
TEST(FaultsG, G10_the_main_process_of_a_service_ends_after_those_from_before_upgrades) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config = one_service({echo.text()});
    config.drain = R"({ wait = "10m", close_over = "1s" })";
    ProxyProcess proxy(config, notifying(directory.path("notify")));
    auto old_client = established(proxy.address());
    ASSERT_TRUE(old_client);
    const AdoptedProcess old(proxy.pid());
    ASSERT_TRUE(proxy.upgrade());
    old.signal(SIGTERM);
    proxy.signal(SIGTERM);
    EXPECT_TRUE(wait_for([&] {
        return proxy.errors().find("waiting for the processes that this one has taken over from") !=
               std::string::npos;
    })) << proxy.errors();
    EXPECT_TRUE(ping(*old_client));
    EXPECT_TRUE(proxy.running());
    old_client->finish();
    EXPECT_EQ(old_client->wait_end(), End::fin);
    proxy.wait_exit();
    EXPECT_FALSE(proxy.running());
    EXPECT_TRUE(proxy.says("which this one has taken over from, has ended")) << proxy.errors();
}

ConfigText with_a_long_drain(const EchoServer& echo) {
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2\nupgrade_drain = " + std::string(patient_drain);
    config.drain = R"({ wait = "10m", close_over = "1s" })";
    return config;
}

// systemd asks what is left to stop, and starts the service again when that has ended.
TEST(FaultsG, G10_an_old_process_makes_way_when_the_main_one_has_died) {
    EchoServer echo;
    for (const bool asked_before : {false, true}) {
        TempDir directory;
        NotifySocket manager(directory.path("notify"));
        auto options = notifying(directory.path("notify"));
        options.check_counters = false;
        ProxyProcess proxy(with_a_long_drain(echo), options);
        auto client = established(proxy.address());
        ASSERT_TRUE(client);
        AdoptedProcess old(proxy.pid());
        ASSERT_TRUE(proxy.upgrade());
        if (asked_before) {
            old.signal(SIGTERM);
            ASSERT_TRUE(proxy.says("stopping: ")) << proxy.errors();
        }
        AdoptedProcess serving(proxy.pid());
        serving.signal(SIGKILL);
        ASSERT_TRUE(serving.wait_exit().ended);
        if (!asked_before) {
            ASSERT_TRUE(proxy.says("the process that had taken over is gone")) << proxy.errors();
            EXPECT_TRUE(ping(*client)) << "as long as nobody asks it to stop";
            old.signal(SIGTERM);
        }
        EXPECT_NE(client->wait_end(), End::open);
        EXPECT_TRUE(old.wait_exit().ended) << proxy.errors();
        proxy.wait_exit();
    }
}

TEST(ServiceManager, without_one_an_old_process_goes_on_when_the_new_one_has_died) {
    EchoServer echo;
    ProxyProcess proxy(with_a_long_drain(echo), {.check_counters = false});
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const AdoptedProcess old(proxy.pid());
    ASSERT_TRUE(proxy.upgrade());
    proxy.kill();
    ASSERT_TRUE(proxy.says("the process that had taken over is gone")) << proxy.errors();
    old.signal(SIGTERM);
    ASSERT_TRUE(proxy.says("stopping: ")) << proxy.errors();
    EXPECT_TRUE(ping(*client)) << "it has the time of process.drain";
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    EXPECT_TRUE(wait_for([&] { return !old.running(); }));
}

TEST(FaultsG, G10_the_watchdog_is_fed_only_while_every_worker_turns) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config, notifying(directory.path("notify"), {{"WATCHDOG_USEC", "1000000"}}));
    const auto pings = [&] { return manager.count("WATCHDOG=1"); };
    ASSERT_TRUE(wait_for([&] { return pings() >= 4; }));
    HeldWorker worker(proxy.pid());
    ASSERT_TRUE(wait_for([&] { return proxy.admin().get("/livez").status == 503; }));
    const std::size_t before = pings();
    std::this_thread::sleep_for(3s);  // several of the intervals it would come in
    EXPECT_EQ(pings(), before);
    worker.release();
    EXPECT_TRUE(wait_for([&] { return pings() >= before + 2; }));
}

TEST(FaultsG, G10_no_watchdog_is_fed_that_is_not_meant_for_this_process) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    ProxyProcess proxy(
        one_service({echo.text()}),
        notifying(directory.path("notify"), {{"WATCHDOG_USEC", "100000"}, {"WATCHDOG_PID", "1"}}));
    std::this_thread::sleep_for(1s);  // ten of the intervals it would come in
    EXPECT_EQ(manager.count("WATCHDOG=1"), 0U);
    EXPECT_EQ(manager.count("READY=1"), 1U);
}

TEST(FaultsG, G10_the_watchdog_is_fed_on_by_the_new_process) {
    EchoServer echo;
    TempDir directory;
    NotifySocket manager(directory.path("notify"));
    // With the number of the process itself, as systemd does.
    ProxyOptions options = notifying(directory.path("notify"), {{"WATCHDOG_USEC", "1000000"}});
    options.wrapper = {"sh", "-c", "export WATCHDOG_PID=$$; exec \"$@\"", "sh"};
    ProxyProcess proxy(one_service({echo.text()}), options);
    ASSERT_TRUE(wait_for([&] { return manager.count("WATCHDOG=1") >= 2; }));
    ASSERT_TRUE(proxy.upgrade());
    ASSERT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    const std::size_t before = manager.count("WATCHDOG=1");
    EXPECT_TRUE(wait_for([&] { return manager.count("WATCHDOG=1") >= before + 3; }));
}

}  // namespace
}  // namespace penstock::test
