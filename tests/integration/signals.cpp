// Signals, shutdown, hostile surroundings, and the clock on the wall.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr const char* short_drain = R"({ wait = "300ms", close_over = "200ms" })";
constexpr const char* long_drain = R"({ wait = "5m", close_over = "10s" })";

bool exited_with(const std::optional<int>& status, int code) {
    return status && WIFEXITED(*status) && WEXITSTATUS(*status) == code;
}

TEST(FaultsG, G1_term_without_connections_ends_at_once) {
    EchoServer echo;
    for (const int number : {SIGTERM, SIGINT}) {
        ConfigText config = one_service({echo.text()});
        config.drain = long_drain;
        ProxyProcess proxy(config);
        EXPECT_TRUE(echo_once(proxy.address()));
        const auto start = Clock::now();
        proxy.signal(number);
        EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
        EXPECT_LT(since(start), scaled(promptly));
        expect_lines(proxy, 1);  // nothing buffered is lost
    }
}

TEST(FaultsG, G1_term_stops_accepting_and_waits_for_the_last_connection) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = long_drain;
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    auto open = established(address);
    ASSERT_TRUE(open);
    proxy.signal(SIGTERM);
    // Not accepting any more, at once; the connection that is there goes on.
    EXPECT_TRUE(stops_accepting(address));
    EXPECT_TRUE(ping(*open));
    const auto start = Clock::now();
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
    EXPECT_LT(since(start), scaled(promptly));
}

// A manager that repeats its signal must not turn a clean stop into a death by signal.
TEST(FaultsG, G1_signals_until_the_very_end_change_nothing_about_it) {
    EchoServer echo;
    for (int round = 0; round < 10; ++round) {
        ProxyProcess proxy(one_service({echo.text()}));
        EXPECT_TRUE(echo_once(proxy.address()));
        const auto deadline = Clock::now() + scaled(promptly);
        while (proxy.running() && Clock::now() < deadline)
            for (const int number : {SIGTERM, SIGUSR1, SIGHUP}) proxy.signal(number);
        EXPECT_TRUE(exited_with(proxy.wait_exit(), 0)) << proxy.errors();
    }
}

TEST(FaultsG, G1_second_term_ends_at_once) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = long_drain;
    ProxyProcess proxy(config);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    proxy.signal(SIGTERM);
    ASSERT_TRUE(stops_accepting(proxy.address()));
    EXPECT_TRUE(ping(*open));
    const auto start = Clock::now();
    proxy.signal(SIGTERM);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
    EXPECT_LT(since(start), scaled(promptly));
    EXPECT_EQ(open->wait_end(), End::reset);
}

TEST(FaultsG, G1_term_while_connecting) {
    ScopedNetns netns;
    EchoServer hole;
    netns.add_rule("tcp dport " + hole.text().substr(hole.text().rfind(':') + 1));
    ConfigText config = one_service({hole.text()}, "", "connect_timeout = \"5m\"");
    config.drain = short_drain;
    ProxyProcess proxy(config);
    const std::size_t before = proxy.descriptors();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() == before + 2; }));
    const auto start = Clock::now();
    proxy.signal(SIGTERM);
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
    EXPECT_LT(since(start), scaled(promptly));
    const auto lines = expect_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "drained") << lines.at(0).raw;
}

TEST(FaultsG, G1_term_under_load) {
    Traffic traffic({.per_second = full_rate() / 4, .long_lived = 50, .exchange_every = 50ms});
    ConfigText config = one_service(traffic.backends());
    config.process = "workers = 2";
    config.drain = short_drain;
    ProxyProcess proxy(config);
    traffic.start({proxy.address()});
    ASSERT_TRUE(traffic.wait_for_more(200));
    proxy.signal(SIGTERM);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0)) << proxy.errors();
    traffic.finish();  // who comes now is refused, and who has stayed was drained
    const Verdict verdict = judge_integrity(traffic.ledger());
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    const auto lines = proxy.access_log().lines();
    const Verdict log = judge_lines(lines);
    EXPECT_TRUE(log.clean()) << log.text();
    EXPECT_GE(lines.size(), 200U);
    for (const LogLine& line : lines)
        EXPECT_TRUE(line.reason == "completed" || line.reason == "drained") << line.raw;
}

TEST(FaultsG, G2_drain_lets_finish_what_finishes) {
    Ledger ledger;
    const auto amount = static_cast<std::uint64_t>(sized(8, 4)) * mib;
    ChaosBackend backend(scripts::keyed(ledger, {.send = amount}));
    ConfigText config = one_service({backend.text()});
    config.drain = long_drain;
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    Socket socket;
    // The first bytes before the signal, all others after it.
    const ConnectionId id = run_client(
        address, ledger, {.send = 1000, .after_send = Plan::Then::nothing, .stop_at = 10'000}, {},
        &socket);
    proxy.signal(SIGTERM);
    ASSERT_TRUE(stops_accepting(address));
    std::uint64_t rest = 0;
    EXPECT_EQ(socket.wait_end(patience, &rest), End::fin);
    socket.finish();
    EXPECT_EQ(ledger.record(id).client.received + rest, amount);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
    const std::string client = ledger.record(id).client_address;
    const auto lines = proxy.access_log().lines();  // of looks whether it still accepts, too
    const auto line = std::ranges::find(lines, client, &LogLine::client);
    ASSERT_NE(line, lines.end());
    EXPECT_EQ(line->reason, "completed") << line->raw;
}

// The drain's own deadline and what each side sees of it: close_deadlines.cpp.
TEST(FaultsG, G2_drain_closes_the_idle_first) {
    const auto attempt = [] {
        EchoServer echo;
        Ticker ticker;
        ChaosBackend endless(ticker.script());
        ConfigText config = one_service({echo.text()});
        config.services.push_back({.name = "endless", .backends = {endless.text()}});
        config.drain = R"({ wait = "1500ms", close_over = "1s" })";
        ProxyProcess proxy(config);
        std::vector<Socket> clients;
        std::vector<std::string> idle_longest_first;
        // In turn: an order by age would mix them.
        for (int i = 0; i < 5; ++i) {
            auto busy = Socket::connect(proxy.address("endless"));
            auto idle = established(proxy.address());
            if (!busy || !idle || busy->receive_text(4) != "tick") return false;
            clients.push_back(std::move(*busy));
            clients.push_back(std::move(*idle));
        }
        // The last that came is idle for the longest time.
        for (std::size_t i = clients.size(); i > 0; i -= 2) {
            if (!ping(clients[i - 1])) return false;
            idle_longest_first.push_back(clients[i - 1].local().text());
        }
        proxy.signal(SIGTERM);
        EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
        if (ticker.longest_silence() >= 500ms) return false;  // they may have looked idle
        const auto lines = expect_lines(proxy, 10);  // one worker: in the order of closing
        for (std::size_t i = 0; i < lines.size(); ++i) {
            EXPECT_EQ(lines[i].reason, "drained") << lines[i].raw;
            EXPECT_EQ(lines[i].listener, i < 5 ? "in" : "endless") << i << " " << lines[i].raw;
            if (i < 5) {
                EXPECT_EQ(lines[i].client, idle_longest_first[i]) << i << " " << lines[i].raw;
            }
        }
        return true;
    };
    EXPECT_TRUE(in_one_of_three_windows(attempt));
}

class FaultsGShutdownDelay : public testing::Test {
protected:
    static ConfigText config(const EchoServer& echo, const char* delay) {
        ConfigText config = one_service({echo.text()});
        config.process += std::string("\nshutdown_delay = \"") + delay + "\"";
        return config;
    }
    static bool is_delayed(const ProxyProcess& proxy) {
        return wait_for(
            [&] { return proxy.errors().find("still accepting") != std::string::npos; });
    }
    EchoServer echo;
};

TEST_F(FaultsGShutdownDelay, G1_goes_on_accepting_for_that_long) {
    EXPECT_TRUE(in_one_of_three_windows([&] {
        ProxyProcess proxy(config(echo, "2s"));
        const Address address = proxy.address();
        const auto start = Clock::now();
        proxy.signal(SIGTERM);
        EXPECT_TRUE(is_delayed(proxy));
        const bool late = since(start) > 1500ms;  // held up for nearly all of the delay
        const bool accepted = echo_once(address).has_value();
        EXPECT_TRUE(stops_accepting(address));
        EXPECT_GE(since(start), 2s);
        EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
        EXPECT_TRUE(accepted || late);
        return accepted;
    }));
}

TEST_F(FaultsGShutdownDelay, G1_second_term_ends_it_at_once) {
    ProxyProcess proxy(config(echo, "5m"));
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    proxy.signal(SIGTERM);
    ASSERT_TRUE(is_delayed(proxy));
    EXPECT_TRUE(echo_once(proxy.address()));
    const auto start = Clock::now();
    proxy.signal(SIGTERM);
    EXPECT_TRUE(exited_with(proxy.wait_exit(), 0));
    EXPECT_LT(since(start), scaled(promptly));
    EXPECT_EQ(open->wait_end(), End::reset);
}

// The signal comes inside a system call of the start, so that its moment is certain.
class FaultsGTermDuringStart : public testing::TestWithParam<const char*> {};

TEST_P(FaultsGTermDuringStart, G3_ends_it_cleanly) {
    EchoServer echo;
    const std::string call = GetParam();
    ConfigText config = one_service({echo.text()});
    config.services[0].bind = "unix:@DIR@/in.sock";
    ProxyOptions options;
    options.wait_ready = false;
    options.wrapper = {"strace", "-f",
                       "-o",     "/dev/null",
                       "-e",     "trace=" + call,
                       "-e",     "inject=" + call + ":signal=SIGTERM:when=1"};
    options.spawn.environment = {{"ASAN_OPTIONS", "detect_leaks=0"}};  // not possible under ptrace
    ProxyProcess proxy(config, options);
    const auto status = proxy.wait_exit();
    EXPECT_TRUE(exited_with(status, 0)) << proxy.errors();
    EXPECT_FALSE(std::filesystem::exists(proxy.directory() / "in.sock"));
}

INSTANTIATE_TEST_SUITE_P(Calls, FaultsGTermDuringStart, testing::Values("bind", "listen"),
                         [](const auto& row) { return std::string(row.param); });

TEST(FaultsG, G3_signals_that_ask_for_something_are_answered_in_the_log) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    // (What SIGUSR2 asks for: upgrade.cpp.)
    const std::vector<std::pair<int, std::string>> answers{{SIGHUP, "reload: "},
                                                           {SIGUSR1, "reopening log files"}};
    for (const auto& [number, words] : answers) {
        EXPECT_FALSE(proxy.errors().contains(words)) << number;
        proxy.signal(number);
        EXPECT_TRUE(proxy.says(words)) << proxy.errors();
        EXPECT_TRUE(ping(*open)) << number;
    }
}

/// A proxy that starts, and waits for the verdict on a backend that does not answer yet.
class FaultsGSignalDuringStart : public testing::Test {
protected:
    static ProxyOptions at_once() {
        ProxyOptions options;
        options.wait_ready = false;
        options.check_counters = false;  // the access log is renamed
        return options;
    }
    ConfigText starting() {
        ConfigText text = one_service({echo.text()});
        text.services.push_back(
            {.name = "silent",
             .backends = {silent.text()},
             .upstream = "health_check = { type = \"tcp\", timeout = \"5m\" }"});
        return text;
    }
    void end_start() {
        EXPECT_FALSE(proxy.child().output().ends_with("ready\n"));
        EXPECT_TRUE(wait_for([&] {
            silent.drain();
            return proxy.child().output().ends_with("ready\n");
        })) << proxy.errors();
    }
    EchoServer echo;
    FullBacklog silent;
    ConfigText config = starting();
    ProxyProcess proxy{config, at_once()};
};

TEST_F(FaultsGSignalDuringStart, G3_a_hup_is_a_reload_once_it_runs) {
    ASSERT_TRUE(proxy.says("sandbox:"));
    config.services[0].upstream = "attempts = 7";
    proxy.rewrite(config);
    proxy.signal(SIGHUP);
    EXPECT_TRUE(proxy.says("SIGHUP waits until the start has ended")) << proxy.errors();
    end_start();
    EXPECT_TRUE(wait_for([&] {
        return proxy.admin().get("/api/v1/config").body.contains("attempts = 7");
    })) << proxy.errors();
}

TEST_F(FaultsGSignalDuringStart, G3_a_usr1_opens_the_logs_anew) {
    ASSERT_TRUE(proxy.says("sandbox:"));
    const auto log = proxy.access_log().path();
    std::filesystem::rename(log, log.string() + ".1");
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(wait_for([&] { return std::filesystem::exists(log); })) << proxy.errors();
    end_start();
    EXPECT_TRUE(echo_once(proxy.address()));
    expect_lines(proxy, 1);
}

TEST_F(FaultsGSignalDuringStart, G3_a_usr2_is_an_upgrade_once_it_runs) {
    ASSERT_TRUE(proxy.says("sandbox:"));
    proxy.guard_group();
    proxy.signal(SIGUSR2);
    EXPECT_TRUE(proxy.says("SIGUSR2 waits until the start has ended")) << proxy.errors();
    end_start();
    pid_t serving = proxy.pid();
    EXPECT_TRUE(wait_for([&] {
        silent.drain();  // its successor checks, too
        const HttpAnswer answer = proxy.admin().get("/api/v1/status");
        if (answer.status == 200)
            serving = boost::json::parse(answer.body).at("pid").to_number<pid_t>();
        return serving != proxy.pid();
    })) << proxy.errors();
    if (serving != proxy.pid()) proxy.follow_upgrade(serving);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(FaultsG, G3_no_other_signal_ends_it) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    std::vector<int> numbers{SIGPIPE, SIGHUP, SIGUSR1, SIGWINCH, SIGALRM, SIGCHLD, SIGURG, SIGCONT};
    for (int number = SIGRTMIN; number <= SIGRTMAX; number += 10) numbers.push_back(number);
    for (const int number : numbers) {
        proxy.signal(number);
        ASSERT_TRUE(ping(*open)) << "signal " << number;
        ASSERT_TRUE(echo_once(proxy.address())) << "signal " << number;
        ASSERT_TRUE(proxy.child().running()) << "signal " << number;
    }
}

TEST(FaultsG, G3_signals_before_ready_do_no_harm) {
    EchoServer echo;
    ProxyOptions options;
    options.wait_ready = false;
    ProxyProcess proxy(one_service({echo.text()}), options);
    // From the first instruction on; before the handlers are there only ignorable ones are safe.
    for (int i = 0; i < 50; ++i) {
        proxy.signal(SIGWINCH);
        proxy.signal(SIGCHLD);
        std::this_thread::sleep_for(1ms);  // spread over the start
    }
    ASSERT_TRUE(wait_for([&] { return proxy.child().output().ends_with("ready\n"); }));
    EXPECT_TRUE(echo_once(proxy.address()));
}

// What arrived during a stall is handled before anybody is timed out for not having sent it.
TEST(FaultsG, G4_a_stopped_process_goes_on_without_expiring_live_traffic) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "idle = \"3s\"");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    EXPECT_TRUE(in_one_of_three_windows([&] {
        const auto start = Clock::now();
        std::vector<Socket> clients;
        for (int i = 0; i < 20; ++i) {
            auto client = established(proxy.address());
            EXPECT_TRUE(client);
            if (client) clients.push_back(std::move(*client));
        }
        proxy.signal(SIGSTOP);
        EXPECT_TRUE(wait_for([&] { return is_stopped(proxy.pid()); }));
        for (Socket& client : clients) EXPECT_TRUE(client.send("hello"));
        const bool in_time = since(start) < 2s;  // else they might rightly have been idle
        std::this_thread::sleep_for(4s);  // the stall itself
        proxy.signal(SIGCONT);
        for (Socket& client : clients) {
            const bool answered = client.receive_text(5) == "hello";
            EXPECT_TRUE(answered || !in_time);
        }
        return in_time;
    }));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(FaultsG, G5_restart_right_after_sigkill) {
    EchoServer echo;
    TempDir directory;
    const std::string path = "unix:" + (directory.path() / "in.sock").string();
    ConfigText config = one_service({echo.text()});
    config.services.push_back({.name = "local", .bind = path, .backends = {echo.text()}});
    std::string fixed;
    std::vector<Socket> old;
    {
        ProxyProcess first(config);
        fixed = first.address().text();
        for (int i = 0; i < 10; ++i) {
            auto socket = established(first.address());
            ASSERT_TRUE(socket);
            old.push_back(std::move(*socket));
        }
        first.kill();
    }
    config.services[0].bind = fixed;
    ProxyProcess second(config);
    EXPECT_TRUE(echo_once(second.address()));
    EXPECT_TRUE(echo_once(second.address("local")));
    for (Socket& socket : old) EXPECT_NE(socket.wait_end(), End::open);
}

TEST(FaultsG, G6_a_crash_is_an_end_by_that_signal) {
    EchoServer echo;
    for (const int number : {SIGSEGV, SIGABRT, SIGBUS}) {
        ProxyOptions options;
        options.wrapper = {"prlimit", "--core=0:0"};
        const std::string leave = "handle_segv=0:handle_abort=0:handle_sigbus=0";
        options.spawn.environment = {{"ASAN_OPTIONS", leave}, {"TSAN_OPTIONS", leave}};
        ProxyProcess proxy(one_service({echo.text()}), options);
        auto open = established(proxy.address());
        ASSERT_TRUE(open);
        proxy.signal(number);
        const auto status = proxy.wait_exit(promptly);
        ASSERT_TRUE(status) << "hangs after signal " << number;
        EXPECT_TRUE(WIFSIGNALED(*status) && WTERMSIG(*status) == number) << *status;
        EXPECT_NE(open->wait_end(), End::open);
    }
}

TEST(FaultsG, G7_a_stop_while_checks_names_and_operators_are_at_work) {
    EchoServer echo;
    ChaosBackend hangs(scripts::hang());
    FullBacklog silent;
    const std::string often =
        "health_check = { type = \"http\", interval = \"50ms\", fast_interval = \"50ms\", "
        "timeout = \"40ms\" }\npanic_threshold = 0\n";
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    config.services.push_back({.name = "checked",
                               .backends = {hangs.text(), silent.text(), echo.text()},
                               .upstream = often});
    // Nobody answers there: queries are under way at any time.
    const UniqueFd deaf(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const Address any = Address::parse("127.0.0.1:0");
    ASSERT_EQ(::bind(deaf.get(), any.data(), any.size()), 0);
    const std::string toml = config.toml() +
                             "\n[[upstream.discovery]]\ntype = \"dns\"\nname = "
                             "\"backends.test\"\nport = 80\nresolver = [\"" +
                             Address::local_of(deaf.get()).text() + "\"]\n";
    for (int i = 0; i < 3; ++i) {  // each start waits for its first queries
        ProxyProcess proxy(toml);
        const Address admin = Address::parse("unix:" + (proxy.directory() / "admin.sock").string());
        std::vector<Socket> operators;
        for (const char* request :
             {"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /api/v1/sess",
              "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\n"
              "Content-Length: 100\r\n\r\n{",
              "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
            auto client = Socket::connect(admin);
            ASSERT_TRUE(client && client->send(request));
            operators.push_back(std::move(*client));
        }
        EXPECT_TRUE(echo_once(proxy.address()));
        std::this_thread::sleep_for(milliseconds(i * 13));  // at different points of the checks
        proxy.signal(SIGTERM);
        EXPECT_TRUE(exited_with(proxy.wait_exit(), 0)) << proxy.errors();
    }
}

TEST(FaultsG, G8_reader_of_its_output_dies) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 100'000}));
    ConfigText config = one_service({backend.text()});
    config.log = "level = \"debug\"\ntarget = \"stderr\"";
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    proxy.child().abandon_output();
    for (int i = 0; i < 20; ++i) run_client(address, ledger, {.send = 100'000});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 20; }));
    expect_clean(ledger, proxy);
}

TEST(FaultsG, G9_without_terminal_parent_or_standard_descriptors) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 100'000}));
    ConfigText config = one_service({backend.text()});
    config.services[0].bind =
        "unix:@DIR@/in.sock";  // its output is lost: the address must be known
    config.log = "level = \"debug\"\ntarget = \"stderr\"";
    ProxyOptions options;
    options.wait_ready = false;
    options.spawn.close_standard_fds = true;
    options.spawn.new_session = true;
    ProxyProcess proxy(config, options);
    const Address address = Address::parse("unix:" + (proxy.directory() / "in.sock").string());
    ASSERT_TRUE(wait_for([&] { return Socket::connect(address).has_value(); }));
    // Would a socket get number 1 or 2, log text would appear in a stream.
    for (int i = 0; i < 20; ++i) run_client(address, ledger, {.send = 100'000});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == backend.accepted(); }));
    Verdict verdict = judge_integrity(ledger);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    for (int fd = 0; fd < 3; ++fd) {
        const auto link = std::filesystem::read_symlink("/proc/" + std::to_string(proxy.pid()) +
                                                        "/fd/" + std::to_string(fd));
        EXPECT_EQ(link.string(), "/dev/null") << fd;
    }
}

std::string faketime_library() {
    const std::string path = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    EXPECT_TRUE(std::filesystem::exists(path)) << "this test needs Debian's package faketime";
    return path;
}

TEST(FaultsK, K1_jumps_of_the_wall_clock_fire_nothing) {
    EchoServer echo;
    TempDir directory;
    const auto offset = directory.path() / "offset";
    const auto jump_to = [&](const std::string& text) {
        // Renamed into place: never read half-written.
        std::ofstream(directory.path() / "next") << text << "\n";
        std::filesystem::rename(directory.path() / "next", offset);
    };
    jump_to("+0");
    ProxyOptions options;
    options.spawn.environment = {{"LD_PRELOAD", faketime_library()},
                                 {"FAKETIME_TIMESTAMP_FILE", offset.string()},
                                 {"FAKETIME_NO_CACHE", "1"},
                                 {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                                 {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    ProxyProcess proxy(one_service({echo.text()}, "idle = \"30s\"\nhalf_closed = \"30s\""),
                       options);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    for (const char* jump : {"+365d", "-365d", "+1h", "-3650d", "+3650d", "+0"}) {
        jump_to(jump);
        EXPECT_TRUE(ping(*open)) << jump;
        EXPECT_TRUE(echo_once(proxy.address())) << jump;
    }
    expect_idle(proxy, 300ms);
    EXPECT_TRUE(ping(*open));
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    const auto lines = expect_lines(proxy, 7);
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    std::vector<std::string> years;
    for (const LogLine& line : lines) {
        years.push_back(line.time.substr(0, 4));
        EXPECT_LT(line.duration_ms, 30'000.0) << line.raw;
    }
    std::ranges::sort(years);
    EXPECT_NE(years.front(), years.back()) << "the clock did not jump";
}

}  // namespace
}  // namespace penstock::test
