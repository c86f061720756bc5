// Who may enter a listener, how fast and how many; and files of peers that change meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/integration/scenario.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

/// "" when it is served, else how it was refused.
std::string fate_of(const Address& proxy, const std::string& source = "") {
    auto socket = Socket::connect(proxy, {.source = source.empty() ? "" : source + ":0"});
    if (!socket) return "not connected";
    if (ping(*socket, "ping", 20s)) {
        socket->finish();
        socket->wait_end(20s);
        return "";
    }
    return name_of(socket->wait_end(20s));
}

std::size_t count_of(const std::vector<LogLine>& lines, const std::string& reason) {
    return static_cast<std::size_t>(std::ranges::count(lines, reason, &LogLine::reason));
}

struct RefusalCase {
    const char* reason;
    const char* listener;  // its keys
    const char* process;
    bool first_enters;
};

class Refusals : public testing::TestWithParam<std::tuple<RefusalCase, const char*>> {};

TEST_P(Refusals, are_told_and_look_as_configured) {
    const auto& [row, refuse_with] = GetParam();
    EchoServer echo;
    ConfigText config =
        one_service({echo.text()}, "", "",
                    std::string(row.listener) + "\nrefuse_with = \"" + refuse_with + "\"");
    config.process = std::string("workers = 2\n") + row.process;
    ProxyProcess proxy(config);
    std::optional<Socket> inside;
    if (row.first_enters) {
        inside = established(proxy.address());
        ASSERT_TRUE(inside);
    }
    auto refused = Socket::connect(proxy.address());
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->wait_end(20s), std::string(refuse_with) == "reset" ? End::reset : End::fin);
    if (inside) {
        EXPECT_TRUE(ping(*inside)) << "a refusal touches nobody else";
        inside->close();
    }
    const auto lines = expect_lines(proxy, row.first_enters ? 2 : 1, 20s);
    EXPECT_EQ(count_of(lines, row.reason), 1U) << reasons_other_than(lines, row.reason);
    EXPECT_EQ(echo.accepted(), row.first_enters ? 1U : 0U);
    EXPECT_TRUE(proxy.says(std::string("listener in: refusing: ") + row.reason)) << proxy.errors();
}

INSTANTIATE_TEST_SUITE_P(
    Gate, Refusals,
    testing::Combine(
        testing::Values(RefusalCase{"denied", "deny = [\"127.0.0.0/8\"]", "", false},
                        RefusalCase{"limit_source", "max_connections_per_source = 1", "", true},
                        RefusalCase{"rate_source", "accept_rate_per_source = \"1/h burst 1\"", "",
                                    true},
                        RefusalCase{"rate_listener", "accept_rate = \"1/h burst 1\"", "", true},
                        RefusalCase{"limit_listener", "max_connections = 1", "", true},
                        RefusalCase{"limit_process", "", "max_connections = 1", true}),
        testing::Values("reset", "close")),
    [](const auto& row) {
        return std::string(std::get<0>(row.param).reason) + "_" + std::get<1>(row.param);
    });

TEST(Gate, a_slot_of_a_source_is_free_again_when_its_connection_ends) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}, "", "", "max_connections_per_source = 1"));
    for (unsigned i = 0; i < 5; ++i) {
        auto inside = established(proxy.address());
        ASSERT_TRUE(inside) << i;
        EXPECT_EQ(fate_of(proxy.address()), "RST");
        EXPECT_EQ(fate_of(proxy.address(), "127.0.0.2"), "") << "another source";
        inside->finish();
        EXPECT_EQ(inside->wait_end(), End::fin);
        inside->close();
        // The proxy's own end of it may come a moment later.
        ASSERT_TRUE(wait_for(
            [&] { return count_of(proxy.access_log().lines(), "completed") >= 2U * (i + 1U); },
            20s));
    }
}

TEST(Gate, A4_one_address_that_takes_all_it_can_get_leaves_the_others_alone) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "", "", "max_connections_per_source = 5");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    std::vector<Socket> greedy;
    std::size_t inside = 0;
    for (int i = 0; i < 40; ++i) {
        auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.2:0"});
        ASSERT_TRUE(socket);
        if (ping(*socket)) ++inside;
        greedy.push_back(std::move(*socket));
    }
    EXPECT_EQ(inside, 5U);
    for (int i = 0; i < 20; ++i)
        EXPECT_TRUE(echo_once(proxy.address(), patience, {.source = "127.0.0.3:0"})) << i;
    EXPECT_EQ(count_of(proxy.access_log().wait_for_lines(55), "limit_source"), 35U);
    EXPECT_TRUE(ping(greedy.front())) << "who is inside stays";
}

TEST(Gate, a_source_is_a_prefix_and_the_exempt_have_none) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}, "", "",
                                   "accept_rate_per_source = \"1/h burst 2\"\n"
                                   "source_prefix = { ipv4 = 24 }\n"
                                   "limit_exempt = [\"127.0.9.0/24\"]"));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.1.1"), "");
    EXPECT_EQ(fate_of(proxy.address(), "127.0.1.2"), "");
    EXPECT_EQ(fate_of(proxy.address(), "127.0.1.3"), "RST");
    EXPECT_EQ(fate_of(proxy.address(), "127.0.2.3"), "");
    for (int i = 0; i < 5; ++i) EXPECT_EQ(fate_of(proxy.address(), "127.0.9.1"), "");
}

TEST(Gate, ipv4_and_ipv6_peers_have_networks_of_their_own) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "", "", "deny = [\"::/0\"]");
    config.services[0].bind = "127.0.0.1:0\", \"[::1]:0";
    std::string toml = config.toml();
    const std::string bind = "bind = \"127.0.0.1:0\", \"[::1]:0\"";
    toml.replace(toml.find(bind), bind.size(), "bind = [\"127.0.0.1:0\", \"[::1]:0\"]");
    ProxyProcess proxy(toml);
    EXPECT_EQ(fate_of(proxy.address("in", 0)), "");
    EXPECT_EQ(fate_of(proxy.address("in", 1)), "RST");
}

TEST(Gate, unix_peers_are_named_as_such) {
    EchoServer echo;
    TempDir directory;
    const auto service = [&](const char* name, const char* keys) {
        return Service{.name = name,
                       .bind = "unix:" + (directory.path() / name).string(),
                       .backends = {echo.text()},
                       .listener = keys};
    };
    ConfigText config;
    config.services = {service("denied", "deny = [\"unix\"]"),
                       service("others", "allow = [\"127.0.0.0/8\"]"),
                       service("allowed", "allow = [\"unix\"]\ndeny = [\"all\"]"),
                       service("limited", "max_connections_per_source = 1")};
    ProxyProcess proxy(config);
    // A unix socket cannot express a reset: the end of the stream, or an error of what was sent.
    EXPECT_NE(fate_of(proxy.address("denied")), "");
    EXPECT_NE(fate_of(proxy.address("others")), "");
    EXPECT_EQ(fate_of(proxy.address("allowed")), "");
    auto one = established(proxy.address("limited"));
    auto two = established(proxy.address("limited"));
    EXPECT_TRUE(one && two) << "they have no address that would be a source";
}

TEST(Gate, on_limit_wait_serves_everybody_at_the_rate) {
    EchoServer echo;
    ConfigText config =
        one_service({echo.text()}, "", "", "accept_rate = \"100/s burst 10\"\non_limit = \"wait\"");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const auto start = Clock::now();
    std::vector<Socket> clients;
    for (int i = 0; i < 200; ++i) {
        auto socket = Socket::connect(proxy.address(), {}, 20s);
        ASSERT_TRUE(socket);
        ASSERT_TRUE(socket->send("ping"));
        clients.push_back(std::move(*socket));
    }
    std::size_t served = 0;
    for (auto& client : clients)
        if (client.receive_text(4, 60s) == "ping") ++served;
    EXPECT_EQ(served, 200U);
    EXPECT_GE(since(start), 1899ms) << "190 tokens fall due in no less than 1.9 s";
    EXPECT_EQ(echo.accepted(), 200U);
    clients.clear();
    const auto lines = expect_lines(proxy, 200, 20s);
    EXPECT_EQ(count_of(lines, "completed"), 200U) << reasons_other_than(lines, "completed");
    EXPECT_TRUE(proxy.says("listener in: accepting pauses: rate_listener"));
    proxy.stop();
    EXPECT_TRUE(proxy.says("accepting paused ")) << proxy.errors();
}

TEST(Gate, on_limit_wait_with_slots_and_a_rate_loses_nobody) {
    EchoServer echo;
    ConfigText config =
        one_service({echo.text()}, "", "",
                    "accept_rate = \"200/s burst 5\"\nmax_connections = 3\non_limit = \"wait\"\n"
                    "deny = [\"127.0.0.66\"]");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    std::atomic<int> failed = 0;
    std::atomic<int> entered_though_denied = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 12; ++i)
            threads.emplace_back([&, i] {
                for (int round = 0; round < 8; ++round) {
                    if (i == 0) {
                        if (fate_of(proxy.address(), "127.0.0.66").empty()) ++entered_though_denied;
                    } else if (!echo_once(proxy.address(), 60s)) {
                        ++failed;
                    }
                }
            });
    }
    EXPECT_EQ(failed, 0);
    EXPECT_EQ(entered_though_denied, 0);
    const auto lines = expect_lines(proxy, 96, 20s);
    EXPECT_EQ(count_of(lines, "completed"), 88U);
    EXPECT_EQ(count_of(lines, "denied"), 8U);
}

TEST(Gate, limits_of_a_source_never_make_clients_wait) {
    EchoServer echo;
    ProxyProcess proxy(
        one_service({echo.text()}, "", "", "max_connections_per_source = 1\non_limit = \"wait\""));
    auto inside = established(proxy.address());
    ASSERT_TRUE(inside);
    EXPECT_EQ(fate_of(proxy.address()), "RST");
}

TEST(Gate, a_dry_run_lets_everybody_in_and_says_whom_it_would_not) {
    EchoServer echo;
    ProxyProcess proxy(
        one_service({echo.text()}, "", "",
                    "deny = [\"127.0.0.2\"]\nmax_connections = 1\nmax_connections_per_source = 1\n"
                    "accept_rate = \"1/h burst 1\"\naccept_rate_per_source = \"1/h burst 1\"\n"
                    "dry_run = [\"deny\", \"max_connections\", \"max_connections_per_source\", "
                    "\"accept_rate\", \"accept_rate_per_source\"]"));
    auto inside = established(proxy.address());
    ASSERT_TRUE(inside);
    EXPECT_EQ(fate_of(proxy.address()), "");
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.2"), "");
    inside->close();
    const auto lines = expect_lines(proxy, 3, 20s);
    ASSERT_EQ(lines.size(), 3U);
    std::size_t plain = 0;
    for (const auto& line : lines) {
        if (line.raw.find("would_refuse") == std::string::npos) {
            ++plain;
            continue;
        }
        const bool denied = line.client.starts_with("127.0.0.2:");
        const std::string expected =
            denied
                ? R"("would_refuse":["limit_listener","rate_listener","denied"])"
                : R"("would_refuse":["limit_listener","limit_source","rate_listener","rate_source"])";
        EXPECT_NE(line.raw.find(expected), std::string::npos) << line.raw;
    }
    EXPECT_EQ(plain, 1U);
    EXPECT_TRUE(proxy.says("listener in: dry run, would refuse: denied"));
    proxy.stop();
    EXPECT_TRUE(proxy.says("1 denied let pass by a dry run")) << proxy.errors();
}

/// A listener with a file of peers in a directory of its own.
class PeerFiles : public testing::Test {
protected:
    /// Beside it and renamed, so that nobody reads a part of it.
    static void write(const fs::path& path, const std::string& text) {
        std::ofstream(path.string() + ".new") << text;
        fs::rename(path.string() + ".new", path);
    }
    [[nodiscard]] ConfigText with(const std::string& keys) const {
        ConfigText config = one_service({echo.text()}, "", "", keys);
        config.process = "workers = 2";
        return config;
    }
    /// Waits until a client is served, or refused, as told.
    static bool becomes(const ProxyProcess& proxy, const std::string& source, bool served) {
        return wait_for([&] { return fate_of(proxy.address(), source).empty() == served; }, 30s);
    }

    EchoServer echo;
    TempDir directory;
    fs::path file = directory.path() / "peers";
};

TEST_F(PeerFiles, a_change_counts_for_new_connections_and_a_bad_one_for_none) {
    write(file, "# nobody yet\n");
    ProxyProcess proxy(with("deny_file = \"" + file.string() + "\""));
    auto inside = established(proxy.address(), {.source = "127.0.0.5:0"});
    ASSERT_TRUE(inside);
    write(file, "127.0.0.5\r\n10.0.0.0/8 # a comment\n");
    EXPECT_TRUE(becomes(proxy, "127.0.0.5", false));
    EXPECT_TRUE(ping(*inside)) << "who is inside stays";
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.6"), "");

    write(file, "10.0.0.0/8\n\n   127.0.0.1/8\n");
    EXPECT_TRUE(proxy.says(file.string() + ":3:4: ")) << proxy.errors();
    EXPECT_TRUE(proxy.says("stay as they are"));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.5"), "RST") << "the old list stays in force";

    fs::remove(file);
    EXPECT_TRUE(wait_for(
        [&] {
            const std::string errors = proxy.errors();
            return errors.find("stay as they are") != errors.rfind("stay as they are");
        },
        30s))
        << proxy.errors();
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.5"), "RST");
    write(file, "127.0.0.6\n");
    EXPECT_TRUE(becomes(proxy, "127.0.0.6", false));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.5"), "");
    inside->close();
    proxy.stop();
    EXPECT_TRUE(proxy.says("lists of peers: 2 changes taken, 2 rejected")) << proxy.errors();
}

TEST_F(PeerFiles, written_in_place_counts_as_well) {
    write(file, "# nobody yet\n");
    ProxyProcess proxy(with("deny_file = \"" + file.string() + "\""));
    ASSERT_EQ(fate_of(proxy.address(), "127.0.0.5"), "");
    std::ofstream(file) << "127.0.0.5\n";
    EXPECT_TRUE(becomes(proxy, "127.0.0.5", false)) << proxy.errors();
}

TEST_F(PeerFiles, swapped_behind_a_link_as_in_a_volume_of_kubernetes) {
    const auto publish = [&](const std::string& name, const std::string& text) {
        fs::create_directory(directory.path() / name);
        write(directory.path() / name / "peers", text);
        fs::create_symlink(name, directory.path() / "..tmp");
        fs::rename(directory.path() / "..tmp", directory.path() / "..data");
    };
    publish("..1", "127.0.0.0/8\n");
    fs::create_symlink("..data/peers", file);
    ProxyProcess proxy(with("allow_file = \"" + file.string() + "\""));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.5"), "");
    publish("..2", "127.0.0.6\n");
    EXPECT_TRUE(becomes(proxy, "127.0.0.5", false));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.6"), "");
    publish("..3", "127.0.0.5\n127.0.0.6\n");
    fs::remove_all(directory.path() / "..2");
    EXPECT_TRUE(becomes(proxy, "127.0.0.5", true));
}

TEST_F(PeerFiles, renamed_over_and_longer_than_the_other_list) {
    write(file, "127.0.0.0/8\n");
    ProxyProcess proxy(
        with("deny_file = \"" + file.string() + "\"\nallow = [\"127.0.0.7\", \"127.1.0.0/16\"]"));
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.7"), "");
    EXPECT_EQ(fate_of(proxy.address(), "127.0.0.8"), "RST");
    EXPECT_EQ(fate_of(proxy.address(), "127.1.0.1"), "");
    const auto fresh = directory.path() / "fresh";
    write(fresh, "127.0.0.7\n127.1.0.1/32\n");
    fs::rename(fresh, file);
    EXPECT_TRUE(becomes(proxy, "127.0.0.7", false));
    EXPECT_EQ(fate_of(proxy.address(), "127.1.0.1"), "RST");
    EXPECT_EQ(fate_of(proxy.address(), "127.1.0.2"), "");
}

TEST_F(PeerFiles, a_hundred_thousand_networks) {
    {
        std::ofstream out(file);
        for (int i = 0; i < 100'000; ++i)
            out << 10 + i / 65536 << '.' << i / 256 % 256 << '.' << i % 256 << ".0/24\n";
    }
    ProxyProcess proxy(with("deny_file = \"" + file.string() + "\""), {});
    EXPECT_EQ(fate_of(proxy.address()), "");
    std::ofstream(file, std::ios::app) << "127.0.0.0/8\n";
    EXPECT_TRUE(becomes(proxy, "127.0.0.1", false));
    EXPECT_TRUE(proxy.says("100001 to deny")) << proxy.errors();
}

// A listening socket that is broken is not a lack of descriptors.
TEST(Gate, a_broken_listening_socket_is_called_so_and_tried_again) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    {
        Strace trace(proxy.pid(),
                     {"trace=accept,accept4", "inject=accept,accept4:error=EINVAL:when=1..2"});
        EXPECT_TRUE(echo_once(proxy.address(), 20s));
        EXPECT_GE(trace.calls("INJECTED"), 2U);
    }
    EXPECT_TRUE(proxy.says("accept: EINVAL")) << proxy.errors();
    EXPECT_TRUE(proxy.says("socket is broken")) << proxy.errors();
    EXPECT_EQ(proxy.errors().find("open files"), std::string::npos) << proxy.errors();
    proxy.stop();
    EXPECT_TRUE(proxy.says("2 accept errors")) << proxy.errors();
}

}  // namespace
}  // namespace penstock::test
