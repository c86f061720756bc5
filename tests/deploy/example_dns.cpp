// deploy/examples/dns: all backends are replaced, one after the other, while clients come and go.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/deploy/example.hpp"
#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/nginx.hpp"

namespace penstock::test {
namespace {

constexpr const char* name = "web.default.svc.cluster.local";
const Address site = Address::parse("10.0.0.10:80");
constexpr const char* asks_once = "GET / HTTP/1.0\r\n\r\n";
constexpr const char* asks_again = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
constexpr const char* ok = "HTTP/1.1 200 OK";

/// A pod, in as far as Penstock can tell: it answers on an address of its own with its own name.
std::unique_ptr<Nginx> pod(int number) {
    const std::string text = std::to_string(number);
    return std::make_unique<Nginx>(
        "pod " + text,
        NginxOptions{
            .server = "location = /healthz { return 200 \"ok\\n\"; }\nkeepalive_timeout 60;",
            .address = "10.0.1." + text + ":8080",
            .graceful = true});
}

/// The name server of the recipe.
class ClusterDns {
public:
    explicit ClusterDns(const Example& example)
        : file_(example.path("names.hosts")),
          process_({"dnsmasq", "--keep-in-foreground", "--user=root", "--pid-file=",
                    "--conf-file=" +
                        example.change("dnsmasq.conf", {{"/etc/penstock/names.hosts", file_}})}) {}
    /// From now on these pods are behind the name.
    void set(const std::vector<int>& pods) {
        std::ofstream next(file_ + ".next");
        for (const int number : pods) next << "10.0.1." << number << " " << name << "\n";
        next.close();
        std::filesystem::rename(file_ + ".next", file_);
        process_.signal(SIGHUP);
    }
    [[nodiscard]] bool running() { return process_.running(); }

private:
    std::string file_;
    ChildProcess process_;
};

/// Clients that come, ask once and go, hundreds a second.
class Clients {
public:
    Clients() {
        for (int i = 0; i < 3; ++i) threads_.emplace_back([this] { run(); });
    }
    ~Clients() { stop(); }
    void stop() {
        stop_ = true;
        threads_.clear();
    }
    [[nodiscard]] unsigned served() const { return served_; }
    [[nodiscard]] unsigned failed() const { return failed_; }

private:
    void run() {
        while (!stop_) {
            ++(ask() ? served_ : failed_);
            std::this_thread::sleep_for(2ms);  // the pace of the clients
        }
    }
    [[nodiscard]] static bool ask() {
        auto socket = Socket::connect(site);
        if (!socket || !socket->send(asks_once)) return false;
        return socket->receive_text(15) == ok && socket->wait_end() == End::fin;
    }
    std::atomic<bool> stop_ = false;
    std::atomic<unsigned> served_ = 0;
    std::atomic<unsigned> failed_ = 0;
    std::vector<std::jthread> threads_;
};

struct ExampleDns : ::testing::Test {
    Machines machines{{"10.0.0.10/16"}};
    Example example{"dns"};
    std::map<int, std::unique_ptr<Nginx>> pods;
    std::optional<ClusterDns> dns;
    std::unique_ptr<ProxyProcess> proxy;

    void SetUp() override {
        for (const int number : {1, 2, 3}) pods[number] = pod(number);
        dns.emplace(example);
        proxy = example.run({});
    }
    /// The pods that get new clients.
    [[nodiscard]] std::vector<int> chosen() const {
        std::vector<int> result;
        const auto upstream = get_json(proxy->admin(), "/api/v1/upstreams/web");
        for (const auto& backend : upstream.at("backends").as_array()) {
            const std::string address(backend.at("address").as_string());
            if (backend.at("eligible").as_bool())
                result.push_back(std::stoi(address.substr(std::string("10.0.1.").size())));
        }
        std::ranges::sort(result);
        return result;
    }
    /// Of clients, at a pod that no longer gets new ones.
    [[nodiscard]] std::size_t sessions_at(int number) const {
        const auto found = get_json(
            proxy->admin(), "/api/v1/sessions?backend=10.0.1." + std::to_string(number) + ":8080");
        return found.as_array().size();
    }
};

// The times that README.md adds up: what preStop waits for, in a cluster by the clock.
constexpr milliseconds pre_stop = 20s;

TEST_F(ExampleDns, a_roll_out_loses_nobody) {
    example.expect_strict();
    ASSERT_TRUE(wait_for([&] { return chosen() == std::vector{1, 2, 3}; })) << proxy->errors();
    const std::string status = example.follow("penstock status");
    EXPECT_NE(status.find("10.0.1.1:8080  10.0.1.1:8080  up"), std::string::npos) << status;
    auto lasting = Socket::connect(site);
    ASSERT_TRUE(lasting && lasting->send(asks_again));
    ASSERT_EQ(lasting->receive_text(15), ok);

    Clients clients;
    std::vector<int> behind{1, 2, 3};
    for (const int number : {4, 5, 6}) {
        pods[number] = pod(number);
        const int leaving = behind.front();
        behind.erase(behind.begin());
        behind.push_back(number);
        const auto start = Clock::now();
        dns->set(behind);
        ASSERT_TRUE(wait_for([&] { return chosen() == behind; })) << proxy->errors();
        ASSERT_TRUE(wait_for([&] { return sessions_at(leaving) == 0; }));
        EXPECT_LT(since(start), scaled(pre_stop + promptly));
        pods.erase(leaving);
        const auto before = clients.served();
        EXPECT_TRUE(wait_for([&] { return clients.served() > before + 50; }));
    }
    clients.stop();
    EXPECT_EQ(clients.failed(), 0U) << "of " << clients.served();
    // Whoever stays on a pod that leaves is told so in order.
    EXPECT_EQ(lasting->wait_end(), End::fin);
    for (const char* line : {"web/10.0.1.4:8080 dns added: was found at 10.0.1.4:8080\n",
                             "web/10.0.1.1:8080 dns removed: is no longer named by its source\n"}) {
        example.expect_told(line);
        EXPECT_NE(example.follow("penstock events").find(line), std::string::npos);
    }
}

TEST_F(ExampleDns, without_its_name_server_it_goes_on_with_whom_it_knows) {
    ASSERT_TRUE(wait_for([&] { return chosen() == std::vector{1, 2, 3}; })) << proxy->errors();
    dns.reset();
    ASSERT_TRUE(wait_for([&] {
        return metrics_of(*proxy).sum("penstock_dns_queries_total", {"result=\"failed\""}) > 1;
    }));
    EXPECT_EQ(example.follow("curl -s http://10.0.0.10/").substr(0, 4), "pod ");
    EXPECT_EQ(chosen(), (std::vector{1, 2, 3}));
}

}  // namespace
}  // namespace penstock::test
