// What a service manager hands over: sd_listen_fds(3).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

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

// Whoever opened it holds it open: to open it anew is not possible.
TEST_P(SocketActivationKept, comes_back_by_a_reload_and_by_an_upgrade) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    ConfigText with = inherited(echo, GetParam());
    with.services.push_back({.name = "other", .bind = "127.0.0.1:0", .backends = {echo.text()}});
    ConfigText without = with;
    without.services.erase(without.services.begin());
    ProxyProcess proxy(with, handing_over({&socket}, "web"));
    socket.close();
    const auto upgrade_to = [&](const ConfigText& config) {
        proxy.rewrite(config);
        return proxy.upgrade() && wait_for([&] { return proxy.old_running() == 0; });
    };
    for (const bool leaves_by_reload : {true, false})
        for (const bool returns_by_reload : {true, false}) {
            ASSERT_TRUE(leaves_by_reload ? proxy.change_to(without) : upgrade_to(without));
            auto client = Socket::connect(socket.address());
            ASSERT_TRUE(client && client->send("hello")) << "it waits in the queue";
            ASSERT_TRUE(returns_by_reload ? proxy.change_to(with) : upgrade_to(with))
                << proxy.errors();
            EXPECT_EQ(client->receive_text(5), "hello");
            for (int i = 0; i < 5; ++i) EXPECT_TRUE(echo_once(socket.address()));
        }
}

TEST_P(SocketActivationKept, under_its_address_and_under_its_name) {
    EchoServer echo;
    Inheritable socket("127.0.0.1:0", 100);
    ConfigText named = inherited(echo, GetParam());
    ConfigText addressed = inherited(echo, socket.address().text());
    ProxyProcess proxy(named, handing_over({&socket}, "web"));
    socket.close();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(proxy.change_to(addressed));
        EXPECT_TRUE(echo_once(socket.address()));
        ASSERT_TRUE(proxy.upgrade());
        ASSERT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
        ASSERT_TRUE(proxy.change_to(named)) << proxy.errors();
        EXPECT_TRUE(echo_once(socket.address()));
    }
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

TEST(SocketActivation, one_that_no_listener_uses_is_there_for_a_later_change) {
    EchoServer echo;
    Inheritable used("127.0.0.1:0", 100);
    Inheritable spare("127.0.0.1:0", 110);
    ConfigText config = inherited(echo, "systemd:web");
    ProxyProcess proxy(config, handing_over({&used, &spare}, "web:spare"));
    spare.close();
    auto client = Socket::connect(spare.address());
    ASSERT_TRUE(client && client->send("hello"));
    config.services.push_back(
        {.name = "later", .bind = "systemd:spare", .backends = {echo.text()}});
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_EQ(client->receive_text(5), "hello");
    // And there is no second of it.
    config.services.push_back({.name = "twice", .bind = "fd:4", .backends = {echo.text()}});
    proxy.rewrite(config);
    const Answer refused = reload_now(proxy);
    EXPECT_NE(refused.text.find("fd:4: its sockets are in use already"), std::string::npos)
        << refused.text;
    EXPECT_TRUE(echo_once(spare.address()));
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
