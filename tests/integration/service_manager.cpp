// What a service manager is told, and what it hands over: sd_notify(3), sd_listen_fds(3).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <mutex>

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
        std::ifstream status("/proc/" + std::to_string(proxy.pid()) + "/status");
        const std::string text{std::istreambuf_iterator<char>(status), {}};
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

// --- watchdog -----------------------------------------------------------------------------------

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

// --- inherited sockets --------------------------------------------------------------------------

/// A listening socket under a number that a child inherits; its queue is one of the kernel's own.
class Inheritable {
public:
    explicit Inheritable(const std::string& at, int number) {
        const UniqueFd listener = listen_on(Address::parse(at));
        address_ = Address::local_of(listener.get());
        fd_ = UniqueFd(::fcntl(listener.get(), F_DUPFD, number));  // without close-on-exec
    }
    [[nodiscard]] int number() const { return fd_.get(); }
    [[nodiscard]] const Address& address() const { return address_; }
    void close() { fd_.close(); }

private:
    UniqueFd fd_;
    Address address_;
};

/// Hands these over as descriptors 3, 4, ..., as systemd does.
ProxyOptions handing_over(const std::vector<const Inheritable*>& sockets,
                          const std::string& names) {
    std::string script = "export LISTEN_PID=$$ LISTEN_FDS=" + std::to_string(sockets.size());
    if (!names.empty()) script += " LISTEN_FDNAMES=" + names;
    script += "; exec \"$@\"";
    for (std::size_t i = 0; i < sockets.size(); ++i)
        script += " " + std::to_string(3 + i) + "<&" + std::to_string(sockets[i]->number()) + " " +
                  std::to_string(sockets[i]->number()) + "<&-";
    ProxyOptions options;
    options.wrapper = {"bash", "-c", script, "bash"};
    return options;
}

ConfigText inherited(const EchoServer& echo, const std::string& bind) {
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    config.services[0].bind = bind;
    return config;
}

TEST(SocketActivation, sockets_by_name_and_by_number) {
    EchoServer a;
    EchoServer b;
    Inheritable first("127.0.0.1:0", 100);
    Inheritable second("127.0.0.1:0", 110);
    ConfigText config = inherited(a, "systemd:web");
    config.services.push_back({.name = "four", .bind = "fd:4", .backends = {b.text()}});
    ProxyProcess proxy(config, handing_over({&first, &second}, "web:other"));
    EXPECT_EQ(proxy.address("in").text(), first.address().text()) << "told as it really is";
    EXPECT_EQ(proxy.address("four").text(), second.address().text());
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(served_by(first.address(), {&a, &b}), 0U);
        EXPECT_EQ(served_by(second.address(), {&a, &b}), 1U);
    }
}

TEST(SocketActivation, who_came_before_the_start_is_served) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    std::vector<Socket> early;
    for (int i = 0; i < 20; ++i) {
        auto client = Socket::connect(socket.address());
        ASSERT_TRUE(client && client->send("hello"));
        early.push_back(std::move(*client));
    }
    ProxyProcess proxy(inherited(echo, "systemd:web"), handing_over({&socket}, "web"));
    for (Socket& client : early) EXPECT_EQ(client.receive_text(5), "hello");
}

TEST(SocketActivation, several_sockets_of_one_name_are_one_listener) {
    EchoServer echo;
    Inheritable first("127.0.0.1:0", 100);
    Inheritable second("127.0.0.2:0", 110);
    TempDir directory;
    Inheritable third("unix:" + directory.path("in.sock"), 120);
    ProxyProcess proxy(inherited(echo, "systemd:web"),
                       handing_over({&first, &second, &third}, "web:web:web"));
    EXPECT_EQ(proxy.addresses_now("in").size(), 3U);
    for (const Inheritable* socket : {&first, &second, &third})
        EXPECT_TRUE(echo_once(socket->address())) << socket->address().text();
    proxy.stop();
    EXPECT_TRUE(std::filesystem::exists(directory.path("in.sock"))) << "it is not this program's";
}

class SocketActivationKept : public testing::TestWithParam<const char*> {};

TEST_P(SocketActivationKept, by_a_reload_and_by_upgrades) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    ConfigText config = inherited(echo, GetParam());
    ProxyProcess proxy(config, handing_over({&socket}, "web"));
    socket.close();  // whoever answers now has it from the proxy
    config.services[0].upstream = "attempts = 1";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(echo_once(socket.address()));
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(proxy.upgrade());
        ASSERT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
        EXPECT_TRUE(echo_once(socket.address()));
    }
    config.services[0].name = "renamed";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(echo_once(socket.address()));
}

INSTANTIATE_TEST_SUITE_P(Binds, SocketActivationKept, testing::Values("systemd:web", "fd:3"),
                         [](const auto& row) {
                             return std::string(row.param).substr(0, 2) == "fd" ? "number" : "name";
                         });

TEST(SocketActivation, upgrades_of_it_under_load_lose_nothing) {
    Inheritable socket("127.0.0.1:0", 100);
    Traffic traffic({.per_second = full_rate() / 2,
                     .long_lived = static_cast<std::size_t>(sized(50)),
                     .life = 2s});
    ConfigText config = one_service(traffic.backends());
    config.process = "workers = 2\nmax_old_processes = 100";
    config.services[0].bind = "systemd:web";
    ProxyProcess proxy(config, handing_over({&socket}, "web"));
    socket.close();
    traffic.start({socket.address()});
    for (int i = 0; i < sized(8); ++i) {
        ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(sized(100)))) << i;
        ASSERT_TRUE(proxy.upgrade(60s)) << i;
    }
    expect_no_loss(traffic, proxy);
}

/// The start's refusal.
std::string refusal(const ConfigText& config, const ProxyOptions& how) {
    ProxyOptions options = how;
    options.wait_ready = false;
    ProxyProcess proxy(config, options);
    const auto status = proxy.wait_exit();
    EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) != 0) << proxy.errors();
    return proxy.errors();
}

TEST(SocketActivation, what_is_not_there_is_an_error_that_names_it) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    EXPECT_NE(
        refusal(inherited(echo, "systemd:nothing"), handing_over({&socket}, "web")).find("nothing"),
        std::string::npos);
    EXPECT_NE(refusal(inherited(echo, "fd:9"), handing_over({&socket}, "web")).find("fd:9"),
              std::string::npos);
    EXPECT_NE(refusal(inherited(echo, "systemd:web"), {}).find("systemd:web"), std::string::npos)
        << "nothing was handed over at all";
}

TEST(SocketActivation, what_is_meant_for_another_process_is_left_alone) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    ProxyOptions options = handing_over({&socket}, "web");
    std::string& script = options.wrapper[2];
    script.replace(script.find("$$"), 2, "1");
    EXPECT_NE(refusal(inherited(echo, "systemd:web"), options).find("systemd:web"),
              std::string::npos);
}

TEST(SocketActivation, a_socket_that_does_not_listen_is_an_error) {
    EchoServer echo;
    const UniqueFd datagrams(::socket(AF_INET, SOCK_DGRAM, 0));
    const UniqueFd number(::fcntl(datagrams.get(), F_DUPFD, 130));
    ProxyOptions options;
    options.wrapper = {"bash", "-c",
                       "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$@\" 3<&" +
                           std::to_string(number.get()),
                       "bash"};
    EXPECT_NE(refusal(inherited(echo, "systemd:web"), options)
                  .find("descriptor 3 that the service manager passed as 'web'"),
              std::string::npos);
}

TEST(SocketActivation, one_that_no_listener_uses_is_told) {
    EchoServer echo;
    Inheritable used("127.0.0.1:0", 100);
    Inheritable unused("127.0.0.1:0", 110);
    ProxyProcess proxy(inherited(echo, "systemd:web"), handing_over({&used, &unused}, "web:spare"));
    EXPECT_TRUE(proxy.says("spare")) << "its clients would wait for ever\n" << proxy.errors();
}

// The real thing: it starts the program when the first client comes.
TEST(SocketActivation, by_systemd) {
    EchoServer echo;
    TempDir directory;
    const std::string address = own_address(7001);
    ProxyOptions options;
    options.wait_ready = false;
    options.directory = directory.path();
    options.check_counters = false;
    options.wrapper = {"systemd-socket-activate", "--listen=" + address, "--fdname=web",
                       "--setenv=RUNTIME_DIRECTORY=" + directory.path().string()};
    for (const char* name : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"})
        if (std::getenv(name) != nullptr)
            options.wrapper.push_back(std::string("--setenv=") + name);
    ProxyProcess proxy(inherited(echo, "systemd:web"), options);
    std::optional<Socket> first;
    ASSERT_TRUE(wait_for([&] {
        auto client = Socket::connect(Address::parse(address));
        if (client) first = std::move(*client);
        return first.has_value();
    })) << "this test needs Debian's package systemd\n"
        << proxy.errors();
    EXPECT_TRUE(ping(*first)) << proxy.errors();
    EXPECT_TRUE(wait_for([&] { return proxy.child().output().ends_with("ready\n"); }));
    EXPECT_EQ(proxy.address().text(), address);
    EXPECT_TRUE(echo_once(proxy.address()));
}

}  // namespace
}  // namespace penstock::test
