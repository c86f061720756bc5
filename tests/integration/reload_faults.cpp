// Reloads that cannot be carried out: all or nothing, and the old configuration serves.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/held_thread.hpp"

namespace penstock::test {
namespace {

TEST(FaultsC, C7_an_occupied_address_undoes_the_whole_reload) {
    EchoServer a;
    EchoServer b;
    const UniqueFd occupied = listen_on(Address::parse(own_address(7003)));
    ConfigText config = one_service({a.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy);
    const std::string before = config_of(proxy);
    ConfigText next = config;
    next.services[0].backends = {b.text()};
    next.services[0].upstream = "attempts = 1";
    next.services.insert(next.services.begin(),
                         {.name = "free", .bind = own_address(7004), .backends = {b.text()}});
    next.services.push_back({.name = "taken", .bind = own_address(7003), .backends = {b.text()}});
    proxy.rewrite(next);
    const Answer answer = reload_now(proxy);
    EXPECT_EQ(answer.status, 409) << answer.text;
    EXPECT_NE(answer.text.find(own_address(7003)), std::string::npos) << answer.text;
    EXPECT_NE(answer.text.find("taken"), std::string::npos) << answer.text;
    EXPECT_FALSE(proxy.reload());
    EXPECT_EQ(config_of(proxy), before);
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 0U);
    EXPECT_EQ(Socket::connect(Address::parse(own_address(7004))).error(), ECONNREFUSED)
        << "what could be opened is closed again";
    EXPECT_TRUE(proxy.addresses_now("free").empty());
    expect_descriptors(proxy, baseline, 2);
    const auto told = status_of(proxy).at("last_reload");
    EXPECT_EQ(told.at("ok"), false);
    EXPECT_NE(text(told.at("errors")).find(own_address(7003)), std::string::npos) << text(told);
    EXPECT_EQ(metrics_of(proxy).value("penstock_config_last_reload_successful"), 0);
}

TEST(FaultsC, C7_the_same_file_is_fine_once_the_address_is_free) {
    EchoServer echo;
    UniqueFd occupied = listen_on(Address::parse(own_address(7003)));
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    config.services.push_back(
        {.name = "more", .bind = own_address(7003), .backends = {echo.text()}});
    EXPECT_FALSE(proxy.change_to(config));
    occupied.close();
    EXPECT_TRUE(proxy.reload()) << proxy.errors();
    EXPECT_TRUE(echo_once(Address::parse(own_address(7003))));
}

TEST(FaultsC, C7_another_penstock_on_that_address_is_no_partner) {
    EchoServer a;
    EchoServer b;
    ConfigText other = one_service({a.text()});
    other.services[0].bind = own_address(7003);
    ProxyProcess first(other);
    ConfigText config = one_service({b.text()});
    ProxyProcess second(config);
    config.services.push_back({.name = "more", .bind = own_address(7003), .backends = {b.text()}});
    EXPECT_FALSE(second.change_to(config)) << "SO_REUSEPORT would let it in";
    for (int i = 0; i < 20; ++i) EXPECT_EQ(served_by(first.address(), {&a, &b}), 0U);
}

TEST(FaultsC, C7_out_of_descriptors_nothing_changes_and_nothing_leaks) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy);
    const std::string before = config_of(proxy);
    ConfigText next = config;
    next.services[0].backends = {b.text()};
    for (int i = 0; i < 40; ++i) {
        next.services.push_back({.name = "more" + std::to_string(i),
                                 .bind = "127.0.1." + std::to_string(1 + i) + ":0",
                                 .backends = {b.text()}});
    }
    // More than the plan reserves for connections, so that it is the opening that fails.
    std::vector<Socket> clients = clients_of(proxy, 200);
    const std::size_t used = proxy.descriptors();
    const rlimit tight{used + 30, used + 30};
    ASSERT_EQ(::prlimit(proxy.pid(), RLIMIT_NOFILE, &tight, nullptr), 0);
    proxy.rewrite(next);
    const Answer answer = reload_now(proxy);
    EXPECT_EQ(answer.status, 409) << answer.text.substr(0, 2000);
    EXPECT_NE(text(answer.body.at("error")).find("listener more"), std::string::npos)
        << answer.body.at("error");
    EXPECT_EQ(config_of(proxy), before);
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 0U);
    clients.clear();
    expect_descriptors(proxy, baseline, 2);
    EXPECT_TRUE(proxy.reload()) << proxy.errors();
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    EXPECT_EQ(proxy.addresses_now("more39").size(), 1U);
}

TEST(FaultsC, C7_an_admin_listener_that_cannot_be_opened_undoes_it_as_well) {
    EchoServer a;
    EchoServer b;
    const UniqueFd occupied = listen_on(Address::parse(own_address(7003)));
    ConfigText config = one_service({a.text()});
    ProxyProcess proxy(config);
    config.services[0].backends = {b.text()};
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\nbind = \"" +
        own_address(7003) + "\"\naccess = \"metrics\"\n";
    EXPECT_FALSE(proxy.change_to(config));
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 0U);
    EXPECT_EQ(status_of(proxy).at("last_reload").at("ok"), false);
}

/// What may be where the configuration was.
struct Replacement {
    std::string name;
    std::function<void(const std::filesystem::path& file, const std::string& toml)> make;
};

class FaultsCReplaced : public testing::TestWithParam<Replacement> {};

TEST_P(FaultsCReplaced, C8_is_an_error_at_once_and_the_old_configuration_serves) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 1\nwatch_config = \"off\"";
    ProxyProcess proxy(config);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    const std::string before = config_of(proxy);
    const std::string toml = read_file(proxy.config_file());
    std::filesystem::remove(proxy.config_file());
    GetParam().make(proxy.config_file(), toml);
    const auto start = Clock::now();
    const Answer answer = reload_now(proxy);
    EXPECT_LT(since(start), scaled(promptly));
    EXPECT_EQ(answer.status, 422) << answer.text;
    EXPECT_FALSE(answer.body.at("error").as_string().empty());
    EXPECT_NE(errors_in(answer), "") << answer.text;
    EXPECT_FALSE(proxy.reload());
    EXPECT_EQ(config_of(proxy), before);
    EXPECT_TRUE(ping(*open));
    EXPECT_TRUE(echo_once(proxy.address()));
    std::filesystem::remove_all(proxy.config_file());
    std::ofstream(proxy.config_file()) << toml;
    EXPECT_TRUE(proxy.reload()) << proxy.errors();
}

INSTANTIATE_TEST_SUITE_P(
    Files, FaultsCReplaced,
    testing::Values(
        Replacement{"missing", [](const auto&, const auto&) {}},
        Replacement{"fifo", [](const auto& file,
                               const auto&) { ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0); }},
        Replacement{"directory",
                    [](const auto& file, const auto&) { std::filesystem::create_directory(file); }},
        Replacement{"symlink_loop",
                    [](const auto& file, const auto&) {
                        std::filesystem::create_symlink(file.filename(), file);
                    }},
        Replacement{"device",
                    [](const auto& file, const auto&) {
                        std::filesystem::create_symlink("/dev/zero", file);
                    }},
        Replacement{"empty", [](const auto& file, const auto&) { std::ofstream{file}; }},
        Replacement{"comments_alone",
                    [](const auto& file, const auto&) { std::ofstream(file) << "# later\n"; }},
        Replacement{"truncated",
                    [](const auto& file, const auto& toml) {
                        std::ofstream(file) << toml.substr(0, toml.rfind('"'));
                    }},
        Replacement{"binary",
                    [](const auto& file, const auto& toml) {
                        std::ofstream(file) << toml << std::string(100, '\0');
                    }}),
    [](const auto& row) { return row.param.name; });

// --- who asks during a reload
// ---------------------------------------------------------------------

/// Whether the control thread has nothing to do just now.
bool is_at_rest(const ProxyProcess& proxy) {
    const std::string id = std::to_string(proxy.pid());
    const std::string stat = read_file("/proc/" + id + "/task/" + id + "/stat");
    const auto at = stat.rfind(") ");  // behind the name
    return at != std::string::npos && stat[at + 2] == 'S';
}

/// Asks, and does not wait for the answer; returns when the request has been read and acted on.
Socket ask(const ProxyProcess& proxy, const std::string& target) {
    auto socket =
        Socket::connect(Address::parse("unix:" + (proxy.directory() / "admin.sock").string()));
    EXPECT_TRUE(socket);
    socket->send("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" +
                 "Connection: close\r\n\r\n");
    EXPECT_NE(proxy.admin().get("/readyz").status, 0);
    EXPECT_TRUE(wait_for([&] { return is_at_rest(proxy); })) << target;
    return *std::move(socket);
}

TEST(FaultsC, C5_those_who_wait_for_a_reload_to_end_cost_nothing) {
    EchoServer echo;
    const FullBacklog mute;  // its check takes as long as it may
    const std::string checked =
        R"(health_check = { type = "tcp", interval = "5m", timeout = "5m" })";
    ConfigText config = one_service({echo.text()}, "", checked);
    ProxyProcess proxy(config, {.check_counters = false});  // of a listener that never was
    config.services.push_back({.name = "fresh",
                               .bind = own_address(7013),
                               .backends = {mute.text()},
                               .upstream = checked});
    proxy.rewrite(config);
    const Socket first = ask(proxy, "/api/v1/reload");
    ASSERT_TRUE(
        wait_for([&] { return Socket::connect(Address::parse(own_address(7013))).has_value(); }));
    const Socket second = ask(proxy, "/api/v1/reload");
    const Socket third = ask(proxy, "/api/v1/reload");
    proxy.stop();
}

TEST(FaultsC, C5_an_upstream_that_has_moved_while_its_sessions_were_counted) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.process = "workers = 2";
    config.services.push_back({.name = "last", .backends = {a.text(), b.text()}});
    ProxyProcess proxy(config);
    ConfigText next = config;
    next.services.erase(next.services.begin());
    proxy.rewrite(next);
    HeldWorker worker(proxy.pid());  // its sessions are waited for, for a while
    Socket asked = ask(proxy, "/api/v1/upstreams/last/rebalance");
    EXPECT_EQ(reload_now(proxy).status, 200);
    EXPECT_EQ(asked.receive_text(15), "HTTP/1.1 200 OK");
    worker.release();
    EXPECT_TRUE(echo_once(proxy.address("last")));
}

// --- signals around a reload --------------------------------------------------------------------

TEST(FaultsG, G1_term_during_a_reload_ends_it_cleanly) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    for (int i = 0; i < sized(150); ++i) {
        config.services.push_back({.name = "s" + std::to_string(i),
                                   .bind = "127.0.1." + std::to_string(1 + i) + ":0",
                                   .backends = {"10.0.0.1:80", "10.0.0.2:80"},
                                   .upstream = "health_check = \"tcp\""});
    }
    for (int i = 0; i < 6; ++i) {
        ProxyProcess proxy(config, {.check_counters = false});
        auto open = established(proxy.address());
        ASSERT_TRUE(open);
        ConfigText next = config;
        next.services.erase(next.services.begin() + 1, next.services.begin() + 20);
        next.services[0].upstream = "attempts = 1";
        proxy.rewrite(next);
        proxy.signal(SIGHUP);
        std::this_thread::sleep_for(milliseconds(i * 5));  // at different points of the reload
        proxy.signal(SIGTERM);
        const auto status = proxy.wait_exit();
        ASSERT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0)
            << i << "\n"
            << proxy.errors().substr(0, 5000);
        EXPECT_NE(open->wait_end(), End::open);
    }
}

TEST(FaultsG, G1_term_while_a_reload_meets_new_backends) {
    EchoServer echo;
    const FullBacklog mute;  // its check takes as long as it may
    ConfigText config =
        one_service({echo.text()}, "", "health_check = { type = \"tcp\", timeout = \"3s\" }");
    config.drain = patient_drain;
    ProxyProcess proxy(config, {.check_counters = false});  // of a listener that never was
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    const std::string fresh = own_address(7012);
    ConfigText next = config;
    next.services[0].backends.push_back(mute.text());
    next.services.push_back({.name = "fresh", .bind = fresh, .backends = {echo.text()}});
    proxy.rewrite(next);
    proxy.signal(SIGHUP);
    const auto listens = [&] { return Socket::connect(Address::parse(fresh)).has_value(); };
    ASSERT_TRUE(wait_for(listens)) << "sockets are open before new backends are met";
    proxy.signal(SIGTERM);
    EXPECT_TRUE(stops_accepting(proxy.address()));
    EXPECT_TRUE(wait_for([&] { return !listens(); })) << "what the reload has opened is closed";
    EXPECT_TRUE(ping(*open)) << "and what lives drains";
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    proxy.stop();
}

TEST(FaultsG, G1_a_reload_while_it_drains_changes_nothing) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = patient_drain;
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    auto open = established(address);
    ASSERT_TRUE(open);
    proxy.signal(SIGTERM);
    ASSERT_TRUE(stops_accepting(address));
    config.services.push_back(
        {.name = "late", .bind = own_address(7005), .backends = {echo.text()}});
    proxy.rewrite(config);
    proxy.signal(SIGHUP);
    EXPECT_TRUE(ping(*open));
    EXPECT_EQ(Socket::connect(Address::parse(own_address(7005))).error(), ECONNREFUSED);
    EXPECT_EQ(Socket::connect(address).error(), ECONNREFUSED) << "it does not begin anew";
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    const auto status = proxy.wait_exit();
    EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0);
}

/// Whether that process has a handler for the signal.
bool handles(pid_t pid, int number) {
    const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
    const auto at = status.find("SigCgt:");
    if (at == std::string::npos) return false;
    const auto caught = std::stoull(status.substr(at + 7), nullptr, 16);
    return ((caught >> (number - 1)) & 1) != 0;
}

// Nothing has been started by then: how it dies does not matter, as long as it does.
TEST(FaultsG, G1_term_while_the_configuration_comes_through_a_pipe_that_stays_open) {
    for (const int number : {SIGTERM, SIGINT}) {
        TempDir directory;
        const std::string fifo = directory.path("configuration");
        ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
        const UniqueFd writer(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
        ChildProcess child({"sh", "-c", "exec \"$0\" run -c - < \"$1\"", penstock_binary(), fifo});
        ASSERT_TRUE(wait_for(
            [&] { return handles(child.pid(), SIGUSR2) && !handles(child.pid(), number); }));
        child.signal(number);
        const auto status = child.wait_exit();
        ASSERT_TRUE(status) << number;
        EXPECT_TRUE(WIFSIGNALED(*status) && WTERMSIG(*status) == number) << *status;
    }
}

TEST(FaultsG, G3_a_reload_asked_for_before_ready_does_no_harm) {
    FullBacklog slow;  // its check holds up the start until the time-out
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.services.push_back(
        {.name = "slow",
         .bind = "127.0.0.2:0",
         .backends = {slow.text()},
         .upstream = "health_check = { type = \"tcp\", interval = \"10s\", timeout = \"2s\" }"});
    ProxyOptions options;
    options.wait_ready = false;
    ProxyProcess proxy(config, options);
    ASSERT_TRUE(wait_for([&] {
        return handles(proxy.pid(), SIGHUP) || proxy.child().output().ends_with("ready\n");
    }));
    for (int i = 0; i < 20; ++i) {
        proxy.signal(SIGHUP);
        std::this_thread::sleep_for(5ms);  // spread over the rest of the start
    }
    ASSERT_TRUE(wait_for([&] { return proxy.child().output().ends_with("ready\n"); }))
        << proxy.errors();
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.reload());
}

}  // namespace
}  // namespace penstock::test
