// deploy/examples/canary: clients are shifted from one nginx to another while they come; a good
// version gets all of them, a bad one loses them at once.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

/// Clients from all addresses of a network, one request each; who answered them is counted.
class Clients {
public:
    Clients() : threads_{run(0), run(1)} {}

    [[nodiscard]] int by(int version) const { return by_.at(static_cast<std::size_t>(version)); }
    /// Those that were not answered.
    [[nodiscard]] int failed() const { return by_[0]; }
    /// Waits until so many more have come.
    [[nodiscard]] bool more(int count) const {
        const int before = total();
        return wait_for([&] { return total() >= before + count; });
    }
    [[nodiscard]] int total() const { return by_[0] + by_[1] + by_[2]; }

private:
    std::jthread run(unsigned half) {
        return std::jthread([this, half](const std::stop_token& over) {
            for (unsigned i = half; !over.stop_requested(); i += 2)
                ++by_.at(ask("203.0.113." + std::to_string(1 + i % 250)));
        });
    }
    /// 1 or 2: that version; 0: no answer. A server that gives up on a request leaves its body
    /// unread, so that its kernel sends a reset.
    [[nodiscard]] std::size_t ask(const std::string& source) const {
        auto socket = Socket::connect(Address::parse("10.0.0.20:80"), {.source = source + ":0"});
        if (!socket || !socket->send(request_)) return 0;
        std::string answer;
        while (!answer.ends_with("\nv1\n") && !answer.ends_with("\nv2\n")) {
            const std::string next = socket->receive_text(1);
            if (next.empty()) return 0;
            answer += next;
        }
        return answer.ends_with("v1\n") ? 1 : 2;
    }

    const std::string request_ =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n" +
        std::string(30000, 'x');
    std::array<std::atomic<int>, 3> by_{};
    std::array<std::jthread, 2> threads_;
};

struct Canary : ::testing::Test {
    Machines machines{
        {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.20", "203.0.113.0/24"}};
    Example example{"canary"};
    std::vector<std::unique_ptr<ServerProcess>> servers;
    std::unique_ptr<ProxyProcess> proxy;

    /// Both versions, the second one as it is given.
    void start(const Changes& second = {{R"(200 "v1\n")", R"(200 "v2\n")"}}) {
        for (const char* address : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}) {
            Changes changes{{"10.0.0.1", address}};
            if (servers.size() >= 2) changes.insert(changes.end(), second.begin(), second.end());
            servers.push_back(
                run_nginx(example, "nginx.conf", std::string(address) + ":8080", changes));
        }
        proxy = example.run({});
    }
    /// The README's command, with these settings of its environment.
    [[nodiscard]] std::unique_ptr<ChildProcess> canary(const std::string& settings) const {
        const std::string programs = std::filesystem::path(penstock_binary()).parent_path();
        return std::make_unique<ChildProcess>(std::vector<std::string>{
            "env", "--chdir=" + example.directory().path().string(), "bash", "-euc",
            "PATH=" + programs + ":$PATH RUNTIME_DIRECTORY=$PWD " + settings +
                " exec ./canary.sh api v1 v2"});
    }
    [[nodiscard]] int weight(const std::string& version) const {
        const auto listeners = get_json(proxy->admin(), "/api/v1/listeners");
        return listeners.at(0).at("split").at(version).to_number<int>();
    }
};

TEST_F(Canary, a_good_version_gets_everybody_step_by_step) {
    example.expect_strict();
    example.expect_told("./canary.sh api v1 v2\n");
    start();
    const Clients clients;
    ASSERT_TRUE(clients.more(50));
    EXPECT_EQ(clients.by(2), 0);
    const auto script = canary("STEP_SECONDS=1 MIN_SESSIONS=20");
    ASSERT_EQ(script->wait_exit(60s), 0) << script->output() << script->errors();
    std::istringstream told(script->output());
    std::string line;
    for (const int share : {5, 25, 50, 100}) {
        std::getline(told, line);
        EXPECT_EQ(line, "listener api: v1=" + std::to_string(100 - share) +
                            " v2=" + std::to_string(share) + ", until the file changes them");
        std::getline(told, line);
        EXPECT_TRUE(line.starts_with(std::to_string(share) + " %: v2 failed 0.00% of ")) << line;
    }
    std::getline(told, line);
    example.expect_told(line);

    ASSERT_TRUE(clients.more(10)) << "those that were on their way";
    const int before = clients.by(1);
    ASSERT_TRUE(clients.more(100));
    EXPECT_EQ(clients.by(1), before);
    EXPECT_EQ(clients.failed(), 0);

    // What the README says to write into the file is what runs.
    example.follow(R"(sed -i 's/"v1", weight = 100/"v1", weight = 0/; )"
                   R"(s/"v2", weight = 0/"v2", weight = 100/' /etc/penstock/penstock.toml
penstock reload)",
                   {{"/etc/penstock", example.directory().path()}});
    EXPECT_EQ(weight("v2"), 100);
    EXPECT_EQ(weight("v1"), 0);
}

TEST_F(Canary, five_per_cent_are_five_per_cent_and_the_same_clients) {
    start();
    example.follow(
        "penstock split api v1=95 v2=5\npenstock status\n"
        "penstock closes --upstream v2 --limit 5");
    const auto upstream_of = [&](int client) {
        return std::string(get_json(proxy->admin(), "/api/v1/explain?listener=api&source=198.18." +
                                                        std::to_string(client / 250) + "." +
                                                        std::to_string(client % 250))
                               .at("upstream")
                               .as_string());
    };
    std::vector<int> early;
    for (int client = 0; client < 1000; ++client)
        if (upstream_of(client) == "v2") early.push_back(client);
    EXPECT_GT(early.size(), 20U);
    EXPECT_LT(early.size(), 90U);
    example.follow("penstock split api v1=95 v2=5", {{"v1=95", "v1=75"}, {"v2=5", "v2=25"}});
    ASSERT_EQ(weight("v2"), 25);
    for (const int client : early) EXPECT_EQ(upstream_of(client), "v2") << client;
    example.follow("penstock split api v1=100 v2=0");
    for (const int client : early) EXPECT_EQ(upstream_of(client), "v1") << client;
}

TEST_F(Canary, a_bad_version_loses_them_at_once) {
    start({{R"(200 "v1\n")", "444"}});  // well by its check, and resets whoever asks
    const Clients clients;
    ASSERT_TRUE(clients.more(50));
    const auto script = canary("STEP_SECONDS=600");
    const auto status = script->wait_exit(60s);
    ASSERT_TRUE(status && WIFEXITED(*status)) << script->output() << script->errors();
    EXPECT_EQ(WEXITSTATUS(*status), 1);
    EXPECT_NE(script->output().find("\nback with v1: v2 fails 100.00% of its connections ("),
              std::string::npos)
        << script->output();
    EXPECT_EQ(weight("v2"), 0);
    ASSERT_TRUE(clients.more(10)) << "those that were on their way";
    const int failed = clients.failed();
    EXPECT_GE(failed, 5);
    ASSERT_TRUE(clients.more(100));
    EXPECT_EQ(clients.failed(), failed);
    EXPECT_EQ(clients.by(2), 0);
}

TEST_F(Canary, one_that_dies_on_the_way_and_one_that_nobody_watches_any_more) {
    start();
    const Clients clients;
    auto script = canary("STEPS=50 STEP_SECONDS=600");
    ASSERT_TRUE(wait_for([&] { return clients.by(2) >= 20; }));
    for (const std::size_t i : {2U, 3U}) servers[i]->kill();
    const auto status = script->wait_exit(60s);
    ASSERT_TRUE(status && WIFEXITED(*status)) << script->output() << script->errors();
    EXPECT_EQ(WEXITSTATUS(*status), 1) << script->output();
    EXPECT_NE(script->output().find("\nback with v1: "), std::string::npos) << script->output();
    EXPECT_EQ(weight("v2"), 0);
    for (const std::size_t i : {2U, 3U}) servers[i]->start();

    script = canary("STEPS=50 STEP_SECONDS=600");
    ASSERT_TRUE(wait_for([&] { return weight("v2") == 50; }));
    script->signal(SIGTERM);
    script->wait_exit(60s);
    EXPECT_TRUE(script->output().ends_with("back with v1: the script was interrupted\n"))
        << script->output() << script->errors();
    EXPECT_EQ(weight("v2"), 0);
}

TEST_F(Canary, what_could_not_be_shifted_is_said) {
    start();
    const auto refused = canary("STEPS='5 101' STEP_SECONDS=0 MIN_SESSIONS=0");
    auto status = refused->wait_exit(60s);
    ASSERT_TRUE(status && WIFEXITED(*status)) << refused->output() << refused->errors();
    EXPECT_EQ(WEXITSTATUS(*status), 1);
    EXPECT_TRUE(
        refused->output().ends_with("back with v1: the split with 101 % for v2 could not be set\n"))
        << refused->output() << refused->errors();
    EXPECT_EQ(weight("v2"), 0);

    const auto alone = canary("STEPS=50 STEP_SECONDS=600");
    ASSERT_TRUE(wait_for([&] { return weight("v2") == 50; }));
    proxy->kill();
    status = alone->wait_exit(60s);
    ASSERT_TRUE(status && WIFEXITED(*status)) << alone->output() << alone->errors();
    EXPECT_EQ(WEXITSTATUS(*status), 3);
    EXPECT_EQ(alone->output().find("back with v1"), std::string::npos) << alone->output();
    EXPECT_TRUE(alone->errors().ends_with(
        "\nNOT back with v1: no figures, and the split could not be set; do: "
        "penstock split api v1=100 v2=0\n"))
        << alone->errors();
}

}  // namespace
}  // namespace penstock::test
