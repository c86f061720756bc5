// deploy/examples/equal-hashing: two instances of one file, five caches, and who reaches which.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

const std::string compare =
    "./same-table.sh caches http://10.0.0.11:9901/metrics http://10.0.0.12:9901/metrics";
constexpr int clients = 250;

std::string client(int number) { return "203.0.113." + std::to_string(1 + number); }

/// One Penstock on its machine, in a copy of the recipe of its own.
struct Instance {
    explicit Instance(std::string at, const Changes& changes = {}) : host(std::move(at)) {
        ProxyOptions options;
        options.spawn.environment = {{"PENSTOCK_BIND", host + ":80"},
                                     {"PENSTOCK_METRICS", host + ":9901"}};
        proxy = example.run(changes, options);
    }
    /// The cache that serves this client.
    [[nodiscard]] std::string serves(const std::string& address) const {
        auto socket = Socket::connect(Address::parse(host + ":80"), {.source = address + ":0"});
        if (!socket || !socket->send("GET / HTTP/1.0\r\n\r\n")) return "";
        const std::string answer = socket->receive_text(4096);
        const auto at = answer.find("\r\n\r\ncache-");
        return at == answer.npos ? "" : answer.substr(at + 4, 7);
    }
    /// Those of all clients.
    [[nodiscard]] std::vector<std::string> serve_all() const {
        std::vector<std::string> caches;
        for (int i = 0; i < clients; ++i) caches.push_back(serves(client(i)));
        return caches;
    }
    /// Workers hear of a change one after the other.
    [[nodiscard]] bool comes_to_serve(const std::vector<std::string>& expected) const {
        return wait_for([&] { return serve_all() == expected; });
    }
    [[nodiscard]] bool cache_is_up(const std::string& name, bool up) const {
        return wait_for([&] {
            return metrics_of(*proxy).value(
                       "penstock_backend_eligible{upstream=\"caches\","
                       "backend=\"" +
                       name + "\"}") == (up ? 1 : 0);
        });
    }

    std::string host;
    Example example{"equal-hashing"};
    std::unique_ptr<ProxyProcess> proxy;
};

struct EqualHashing : ::testing::Test {
    Machines machines{{"10.0.0.11", "10.0.0.12", "10.0.1.0/24", "203.0.113.0/24"}};
    Example caches_example{"equal-hashing"};
    std::map<std::string, std::unique_ptr<ServerProcess>> caches;
    std::optional<Instance> first;
    std::optional<Instance> second;

    void SetUp() override {
        for (const std::string number : {"1", "2", "3", "4", "5"})
            run_cache("cache-" + number, "10.0.1." + number);
        first.emplace("10.0.0.11");
        second.emplace("10.0.0.12");
    }
    void run_cache(const std::string& name, const std::string& address) {
        caches[name] = run_nginx(caches_example, "nginx.conf", address + ":80",
                                 {{"10.0.1.1", address}, {"cache-1", name}});
    }
};

/// How many clients have another cache than before; of those that had `name`, or of the others.
std::pair<int, int> moved(const std::vector<std::string>& before,
                          const std::vector<std::string>& after, const std::string& name) {
    std::pair<int, int> count{0, 0};
    for (std::size_t i = 0; i < before.size(); ++i)
        if (before[i] != after[i]) ++(before[i] == name ? count.first : count.second);
    return count;
}

TEST_F(EqualHashing, both_send_everybody_to_the_same_cache) {
    first->example.expect_strict();
    const std::string tables = first->example.follow(compare);
    first->example.expect_told(tables);
    const auto by_first = first->serve_all();
    EXPECT_EQ(second->serve_all(), by_first);
    for (const auto& [name, process] : caches) {
        const auto share = std::ranges::count(by_first, name);
        EXPECT_GT(share, clients / 10) << name;
        EXPECT_LT(share, clients * 3 / 10) << name;
    }
    for (const Instance* instance : {&*first, &*second}) {
        const std::string told =
            instance->example.follow("penstock explain cache --source 203.0.113.9");
        instance->example.expect_told(told.substr(0, told.find("limits:")));
        EXPECT_EQ(instance->serves("203.0.113.9"), "cache-5");
    }
}

TEST_F(EqualHashing, who_hashes_otherwise_is_found) {
    second.reset();
    second.emplace("10.0.0.12", Changes{{"hash_seed = 7301", "hash_seed = 7302"}});
    ChildProcess script(
        {"env", "--chdir=" + first->example.directory().path().string(), "bash", "-euc", compare});
    const auto status = script.wait_exit();
    ASSERT_TRUE(status && WIFEXITED(*status));
    EXPECT_EQ(WEXITSTATUS(*status), 1) << script.output();
    EXPECT_EQ(script.errors(), "they differ: compare names, weights and hash_seed\n");
    EXPECT_NE(second->serve_all(), first->serve_all());
    run_program({first->example.path("same-table.sh"), "caches", "http://10.0.0.11:9901/metrics",
                 "unix:" + first->example.path("admin.sock")});
}

TEST_F(EqualHashing, a_cache_that_is_down_moves_its_own_clients_alone_and_gets_them_back) {
    const auto before = first->serve_all();
    caches["cache-3"]->kill();
    EXPECT_TRUE(first->cache_is_up("cache-3", false) && second->cache_is_up("cache-3", false));
    const auto during = first->serve_all();
    EXPECT_EQ(second->serve_all(), during);
    EXPECT_EQ(moved(before, during, "cache-3"),
              std::pair(static_cast<int>(std::ranges::count(before, "cache-3")), 0));
    caches["cache-3"]->start();
    EXPECT_TRUE(first->cache_is_up("cache-3", true) && second->cache_is_up("cache-3", true));
    EXPECT_TRUE(first->comes_to_serve(before) && second->comes_to_serve(before));

    for (const Instance* instance : {&*first, &*second}) {
        instance->example.expect_told("penstock backend caches/cache-3 drain");
        EXPECT_EQ(instance->proxy->admin()
                      .post("/api/v1/upstreams/caches/backends/cache-3", R"({"state":"drain"})")
                      .status,
                  200);
        EXPECT_TRUE(instance->cache_is_up("cache-3", false));
        EXPECT_TRUE(instance->comes_to_serve(during)) << "as when it was down";
    }
}

TEST_F(EqualHashing, a_cache_that_leaves_moves_few_others_and_one_that_moves_house_nobody) {
    const auto before = first->serve_all();
    const std::string third =
        "[[upstream.backend]]\nname = \"cache-3\"\naddress = \"10.0.1.3:80\"\n";
    const std::string whole = first->example.toml({});
    first->proxy->rewrite(first->example.toml({{third, ""}}));
    const Finished plan =
        run_penstock({"plan", "--admin", "unix:" + first->example.path("admin.sock")});
    first->example.expect_told(plan.output.substr(0, plan.output.find("0 sessions")));
    ASSERT_TRUE(first->proxy->reload());
    std::vector<std::string> without;
    EXPECT_TRUE(wait_for([&] {
        without = first->serve_all();
        return std::ranges::count(without, "cache-3") == 0;
    }));
    EXPECT_LE(moved(before, without, "cache-3").second, clients * 3 / 100);

    run_cache("cache-3", "10.0.1.33");
    first->proxy->rewrite(changed(whole, {{"10.0.1.3", "10.0.1.33"}}));
    ASSERT_TRUE(first->proxy->reload());
    EXPECT_TRUE(first->cache_is_up("cache-3", true));
    EXPECT_EQ(first->serve_all(), before);
    EXPECT_EQ(
        metrics_of(*first->proxy).value(R"(penstock_upstream_hash_checksum{upstream="caches"})"),
        metrics_of(*second->proxy).value(R"(penstock_upstream_hash_checksum{upstream="caches"})"));
}

}  // namespace
}  // namespace penstock::test
