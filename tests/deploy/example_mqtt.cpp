// deploy/examples/mqtt: three real brokers, of which the third joins when all clients have settled.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "tests/deploy/example.hpp"
#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/server_process.hpp"

namespace penstock::test {
namespace {

constexpr int clients = 20;
using Load = std::map<std::string, std::int64_t>;

/// A subscriber for ever: mosquitto_sub connects again when it has to.
class Subscriber {
public:
    [[nodiscard]] std::int64_t heard(const std::string& message) const {
        const std::string all = "\n" + process_.output();
        std::int64_t count = 0;
        const std::string line = "\n" + message + "\n";
        for (auto at = all.find(line); at != all.npos; at = all.find(line, at + 1)) ++count;
        return count;
    }

private:
    ChildProcess process_{{"mosquitto_sub", "-h", "10.0.0.10", "-t", "news/#", "-q", "1"}};
};

struct ExampleMqtt : ::testing::Test {
    Machines machines{{"10.0.0.10/16"}};
    Example example{"mqtt"};
    std::map<int, std::unique_ptr<ServerProcess>> brokers;
    std::unique_ptr<ProxyProcess> proxy;
    std::vector<std::unique_ptr<Subscriber>> subscribers;

    void SetUp() override {
        for (const int number : {1, 2, 3}) start_broker(number);
        proxy = example.run({});
    }
    void start_broker(int number) {
        const std::string address = "10.0.0." + std::to_string(number);
        std::string text = example.text("mosquitto.conf", {{"10.0.0.1", address}});
        if (number != 1)
            text +=
                example.text("bridge.conf", {{"bridge-m2", "bridge-m" + std::to_string(number)}});
        const auto file = example.directory().write("m" + std::to_string(number) + ".conf", text);
        brokers[number] = std::make_unique<ServerProcess>(ServerProcess::Command{
            .argv = {"mosquitto", "-c", file},
            .accepts_on = Address::parse(address + ":1883"),
        });
    }
    [[nodiscard]] json::value upstream() const {
        return get_json(proxy->admin(), "/api/v1/upstreams/mqtt");
    }
    [[nodiscard]] Load load() const {
        Load result;
        const auto now = upstream();
        for (const auto& backend : now.at("backends").as_array())
            result[std::string(backend.at("name").as_string())] =
                backend.at("connections").at("active").as_int64();
        return result;
    }
    /// All clients are on these, on each as many as on the others. Two that come at the same
    /// moment may both take what was the emptiest.
    [[nodiscard]] bool spread_over(const std::vector<std::string>& names) const {
        Load now = load();
        const std::int64_t each = clients / std::ssize(names);
        std::int64_t all = 0;
        for (const auto& one : names) {
            if (now[one] < each - 1) return false;
            all += now[one];
        }
        return all == clients;
    }
    /// Waits until all listen: after it has connected a subscriber subscribes, and bridges pass
    /// that on. Then what somebody publishes through the proxy reaches each, once.
    void expect_delivery(const std::string& round) {
        ASSERT_TRUE(wait_for([&] {
            run_program({"mosquitto_pub", "-h", "10.0.0.10", "-t", "news/test", "-m", round});
            return std::ranges::all_of(subscribers,
                                       [&](const auto& one) { return one->heard(round) > 0; });
        }));
        ++published;
        example.follow("mosquitto_pub -h 10.0.0.10 -t news/today -m hello -q 1");
        for (const auto& subscriber : subscribers) {
            EXPECT_TRUE(wait_for([&] { return subscriber->heard("hello") >= published; }));
            EXPECT_EQ(subscriber->heard("hello"), published);
        }
    }
    std::int64_t published = 0;
};

TEST_F(ExampleMqtt, clients_spread_over_a_broker_that_joins) {
    example.expect_strict();
    for (int i = 0; i < clients; ++i) subscribers.push_back(std::make_unique<Subscriber>());
    ASSERT_TRUE(wait_for([&] { return spread_over({"m1", "m2"}); }));
    const std::string status = example.follow("penstock status");
    EXPECT_NE(status.find("m2       10.0.0.2:1883  up"), std::string::npos) << status;
    expect_delivery("settled");

    proxy->rewrite(example.toml({{"#[[upstream.backend]]", "[[upstream.backend]]"},
                                 {"#name = \"m3\"", "name = \"m3\""},
                                 {"#address = \"10.0.0.3:1883\"", "address = \"10.0.0.3:1883\""}}));
    const std::string reloaded = example.follow("penstock reload");
    EXPECT_EQ(reloaded,
              "~ upstream mqtt\n    + backend m3 10.0.0.3:1883  gets clients at once\n"
              "reloaded: 0 sessions closed now, 0 draining\n");
    example.expect_told(reloaded);
    ASSERT_TRUE(wait_for([&] { return upstream().at("backends").at(2).at("eligible").as_bool(); }));
    EXPECT_EQ(load().at("m3"), 0);
    const std::string plan = example.follow("penstock rebalance mqtt --dry-run");
    EXPECT_TRUE(plan.starts_with("upstream mqtt: would end 4 of 20 sessions\n")) << plan;
    const std::string order = example.follow("penstock rebalance mqtt --over 2s --max-share 0.5");
    EXPECT_TRUE(order.starts_with("upstream mqtt: ending 6 of 20 sessions\n")) << order;
    ASSERT_TRUE(wait_for([&] { return spread_over({"m1", "m2", "m3"}); }));
    const std::string events = example.follow("penstock events");
    const std::string event = "mqtt rebalance 6 of 20 sessions move over 2s (by uid ";
    example.expect_told(event);
    EXPECT_NE(events.find(event), std::string::npos) << events;
    expect_delivery("spread");

    // A broker fails: its clients are with the others.
    brokers.erase(2);
    ASSERT_TRUE(wait_for([&] {
        const Load now = load();
        return now.at("m2") == 0 && now.at("m1") + now.at("m3") == clients;
    }));
    expect_delivery("two left");
}

}  // namespace
}  // namespace penstock::test
