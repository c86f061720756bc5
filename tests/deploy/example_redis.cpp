// deploy/examples/redis: three real servers that follow each other.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/deploy/example.hpp"
#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/redis_server.hpp"

namespace penstock::test {
namespace {

const std::string set_greeting = "redis-cli -h 10.0.0.10 -p 6379 --user app set greeting hello";
const std::string get_greeting = "redis-cli -h 10.0.0.10 -p 6380 --user app get greeting";

/// The steps of the README up to the running proxy. redis-1 is the primary.
struct ExampleRedis : ::testing::Test {
    Machines machines{{"10.0.0.10/16"}};
    Example example{"redis"};
    std::vector<std::unique_ptr<RedisServer>> servers;
    std::unique_ptr<ProxyProcess> proxy;

    void SetUp() override {
        example.write_secret("penstock.password", "change-me-checks\n");
        for (const std::string number : {"1", "2", "3"}) {
            std::string text =
                example.text("redis.conf", {{"/etc/redis/users.acl", example.path("users.acl")}});
            // In this network all connections come from one address.
            text += "save \"\"\nrepl-diskless-sync-delay 0\nreplica-announce-ip 10.0.0." + number +
                    "\n";
            if (number != "1") text += "replicaof 10.0.0.1 6379\n";
            servers.push_back(std::make_unique<RedisServer>(
                Address::parse("10.0.0." + number + ":6379"),
                example.directory().write("redis-" + number + ".conf", text)));
        }
        proxy = example.run({});
        for (const std::size_t i : {1U, 2U}) wait_linked(i);
    }
    std::string by(const std::string& user, const std::string& command) {
        example.set("REDISCLI_AUTH", "change-me-" + user);
        return example.follow(command);
    }
    [[nodiscard]] std::string get_at(std::size_t server, const std::string& key) const {
        return redis_cli(servers[server]->address(), {"--no-auth-warning", "--user", "app",
                                                      "--pass", "change-me-app", "get", key});
    }
    [[nodiscard]] std::string told_by(std::size_t server, const std::string& section) const {
        return redis_cli(
            servers[server]->address(),
            {"--no-auth-warning", "--user", "admin", "--pass", "change-me-admin", "info", section});
    }
    /// That replica has all that its primary has.
    void wait_linked(std::size_t server) {
        ASSERT_TRUE(wait_for([&] {
            return told_by(server, "replication").find("master_link_status:up") !=
                   std::string::npos;
        })) << told_by(server, "replication");
    }
    [[nodiscard]] json::value upstream() const {
        return get_json(proxy->admin(), "/api/v1/upstreams/redis");
    }
    void wait_conflict() {
        ASSERT_TRUE(wait_for([&] {
            return metrics_of(*proxy).value(
                       "penstock_upstream_role_conflict{upstream=\"redis\"}") == 1;
        }));
    }
    void wait_role(std::size_t server, const std::string& role) {
        ASSERT_TRUE(wait_for([&] {
            return upstream().at("backends").at(server).at("check").at("role") == json::value(role);
        }));
    }
};

/// Counts in Redis, through the proxy, one by one; connects again whenever it must.
class Writer {
public:
    ~Writer() { stop(); }
    /// How often Redis has said that it counted.
    [[nodiscard]] unsigned counted() const { return counted_; }
    void stop() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }

private:
    void run() {
        while (!stop_) {
            auto socket = Socket::connect(Address::parse("10.0.0.10:6379"));
            if (!socket || !socket->send(redis_command({"AUTH", "app", "change-me-app"})) ||
                socket->receive_text(5) != "+OK\r\n")
                continue;
            while (!stop_ && count_once(*socket)) ++counted_;
        }
    }
    static bool count_once(Socket& socket) {
        if (!socket.send(redis_command({"INCR", "count"})) || socket.receive_text(1) != ":")
            return false;
        std::string byte;
        do byte = socket.receive_text(1);
        while (byte != "\n" && !byte.empty());
        return !byte.empty();
    }
    std::atomic<bool> stop_ = false;
    std::atomic<unsigned> counted_ = 0;
    std::thread thread_{[this] { run(); }};
};

TEST_F(ExampleRedis, a_planned_change_loses_nothing) {
    example.expect_strict();
    EXPECT_EQ(by("app", set_greeting), "OK\n");
    EXPECT_TRUE(wait_for([&] { return by("app", get_greeting) == "hello\n"; }));
    auto silent = Socket::connect(Address::parse("10.0.0.10:6379"));
    ASSERT_TRUE(silent && silent->send(redis_command({"AUTH", "app", "change-me-app"})));
    ASSERT_EQ(silent->receive_text(5), "+OK\r\n");
    Writer writer;
    ASSERT_TRUE(wait_for([&] { return writer.counted() > 100; }));
    EXPECT_EQ(by("admin", "redis-cli -h 10.0.0.1 --user admin failover to 10.0.0.2 6379"), "OK\n");
    wait_role(1, "primary");
    EXPECT_EQ(by("admin", "./promote.sh 10.0.0.2 10.0.0.1 10.0.0.3"),
              "10.0.0.2: primary\n10.0.0.1: replica of 10.0.0.2\n10.0.0.3: replica of 10.0.0.2\n");
    const unsigned before = writer.counted();
    ASSERT_TRUE(wait_for([&] { return writer.counted() > before + 100; }));
    writer.stop();
    const std::string total = get_at(1, "count");
    EXPECT_GE(std::stoul(total), writer.counted());
    EXPECT_NE(silent->wait_end(), End::open);
    const auto ended_by = [&](const char* reason) {
        return std::ranges::count(proxy->access_log().lines(), reason, &LogLine::reason);
    };
    EXPECT_TRUE(wait_for([&] { return ended_by("role_changed") > 0; }));
    EXPECT_EQ(ended_by("no_backend"), 0);
}

TEST_F(ExampleRedis, promotion_waits_until_everything_was_handed_over) {
    const auto promote = [&](const std::string& seconds) {
        ChildProcess script(
            {example.path("promote.sh"), "10.0.0.2", "10.0.0.1", "10.0.0.3"},
            {.environment = {{"REDISCLI_AUTH", "change-me-admin"}, {"HANDOVER_SECONDS", seconds}}});
        const auto status = script.wait_exit(60s);
        EXPECT_TRUE(status && WIFEXITED(*status));
        return std::pair(status ? WEXITSTATUS(*status) : -1, script.output() + script.errors());
    };
    EXPECT_EQ(promote("60"),
              std::pair(1, std::string("10.0.0.1: is still the primary: let it hand "
                                       "over (`failover to 10.0.0.2 6379`), or leave "
                                       "it out; nothing was changed\n")));
    // The next primary stands still, and misses a write.
    const std::string about = told_by(1, "server");
    const auto at = about.find("process_id:");
    ASSERT_NE(at, std::string::npos);
    const pid_t replica = std::stoi(about.substr(at + std::string("process_id:").size()));
    ASSERT_EQ(::kill(replica, SIGSTOP), 0);
    EXPECT_EQ(by("app", set_greeting), "OK\n");
    EXPECT_EQ(by("admin", "redis-cli -h 10.0.0.1 --user admin failover to 10.0.0.2 6379"), "OK\n");
    const auto early = promote("1");
    ASSERT_EQ(::kill(replica, SIGCONT), 0);
    EXPECT_EQ(early, std::pair(1, std::string("10.0.0.1: goes on handing over (`failover abort` "
                                              "ends that); nothing was changed\n")));
    EXPECT_EQ(promote("60").first, 0);
    EXPECT_EQ(get_at(1, "greeting"), "hello\n");
    for (const std::size_t i : {0U, 2U}) wait_linked(i);
}

TEST_F(ExampleRedis, clients_follow_when_the_primary_is_lost) {
    EXPECT_EQ(by("app", set_greeting), "OK\n");
    for (const std::size_t i : {1U, 2U})
        ASSERT_TRUE(wait_for([&] { return get_at(i, "greeting") == "hello\n"; }));
    auto subscriber = Socket::connect(Address::parse("10.0.0.10:6379"));
    ASSERT_TRUE(subscriber && subscriber->send(redis_command({"AUTH", "app", "change-me-app"}) +
                                               redis_command({"SUBSCRIBE", "news"})));
    ASSERT_EQ(subscriber->receive_text(5), "+OK\r\n");
    servers[0]->kill();
    EXPECT_NE(subscriber->wait_end(), End::open);

    const std::string promoted = by("admin", "./promote.sh 10.0.0.3 10.0.0.2");
    EXPECT_EQ(promoted, "10.0.0.3: primary\n10.0.0.2: replica of 10.0.0.3\n");
    example.expect_told(promoted);
    wait_role(2, "primary");
    EXPECT_EQ(by("app", get_greeting), "hello\n");
    ASSERT_TRUE(wait_for(
        [&] { return told_by(2, "replication").find("connected_slaves:1") != std::string::npos; }));
    EXPECT_EQ(by("app", set_greeting), "OK\n");

    // Who does not answer is named.
    ChildProcess incomplete({example.path("promote.sh"), "10.0.0.3", "10.0.0.1"},
                            {.environment = {{"REDISCLI_AUTH", "change-me-admin"}}});
    const auto status = incomplete.wait_exit();
    EXPECT_TRUE(status && WEXITSTATUS(*status) == 1);
    EXPECT_EQ(incomplete.errors(), "10.0.0.1: does not answer\n");

    // The old one comes back and knows of nothing.
    servers[0]->start();
    wait_conflict();
    ASSERT_TRUE(wait_for([&] { return upstream().at("connections").at("active") == 0; }));
    const std::string explained = by("admin", "penstock explain primary");
    for (const char* row : {"   redis-1  10.0.0.1:6379       0       1      -  excluded: role (it "
                            "says that it is primary; redis-3's newer claim is believed)\n",
                            ">  redis-3  10.0.0.3:6379       0       1    1.0  chosen\n"}) {
        example.expect_told(row);
        EXPECT_NE(explained.find(row), std::string::npos) << explained;
    }
    EXPECT_EQ(by("app", set_greeting), "OK\n");
    EXPECT_EQ(by("admin", "./promote.sh 10.0.0.3 10.0.0.1 10.0.0.2"),
              "10.0.0.3: primary\n10.0.0.1: replica of 10.0.0.3\n10.0.0.2: replica of 10.0.0.3\n");
    wait_role(0, "replica");
    wait_linked(0);
}

}  // namespace
}  // namespace penstock::test
