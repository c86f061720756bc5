// ring_hash against nginx: the same clients, the same servers, the same choice.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "balancer/hash_key.hpp"
#include "balancer/selector.hpp"
#include "base/random.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/server_process.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {
namespace {

constexpr std::size_t down = 3;  // the backend that one of the upstreams does without
constexpr std::uint32_t weights[] = {1, 2, 1, 3, 5, 1, 1, 10};
constexpr std::size_t size = std::size(weights);

/// nginx with backends that tell their number and close, and `hash $remote_addr consistent` in
/// front of them, once with all and once with one of them down.
class KetamaNginx {
public:
    KetamaNginx() : all_(private_address()), one_down_(private_address()) {
        std::string servers;
        std::string upstream;
        std::string upstream_one_down;
        for (std::size_t i = 0; i < size; ++i) {
            backends_.push_back(private_address());
            const auto address = backends_.back().text();
            servers += fmt::format("server {{ listen {}; return {}; }}\n", address, i);
            const auto line = fmt::format("server {} weight={}", address, weights[i]);
            upstream += line + ";\n";
            upstream_one_down += line + (i == down ? " down;\n" : ";\n");
        }
        const std::string directory = directory_.path().string();
        // Where the stream module is not built in.
        const std::string module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        std::ofstream(directory + "/nginx.conf")
            << (std::filesystem::exists(module) ? "load_module " + module + ";\n" : "")
            << "daemon off;\nmaster_process off;\nerror_log stderr warn;\n"
            << "pid " << directory << "/nginx.pid;\nevents { worker_connections 4096; }\n"
            << "stream {\n"
            << "upstream all {\nhash $remote_addr consistent;\n"
            << upstream << "}\n"
            << "upstream one_down {\nhash $remote_addr consistent;\n"
            << upstream_one_down << "}\n"
            << fmt::format("server {{ listen {}; proxy_pass all; }}\n", all_.text())
            << fmt::format("server {{ listen {}; proxy_pass one_down; }}\n", one_down_.text())
            << servers << "}\n";
        process_.emplace(ServerProcess::Command{.argv = {PENSTOCK_TEST_NGINX, "-p", directory, "-e",
                                                         "stderr", "-c", directory + "/nginx.conf"},
                                                .accepts_on = all_});
    }

    [[nodiscard]] const Address& all() const { return all_; }
    [[nodiscard]] const Address& one_down() const { return one_down_; }
    [[nodiscard]] const std::vector<Address>& backends() const { return backends_; }

private:
    TempDir directory_;
    Address all_;
    Address one_down_;
    std::vector<Address> backends_;
    std::optional<ServerProcess> process_;
};

/// `count` different addresses from all over 127.0.0.0/8.
std::set<std::string> clients(std::size_t count) {
    Random random(1);
    std::set<std::string> result;
    while (result.size() < count)
        result.insert(fmt::format("127.{}.{}.{}", random.below(256), random.below(256),
                                  1 + random.below(254)));
    return result;
}

/// The number of the backend that answers `client` behind `proxy`; empty when none does.
std::string answer(const Address& proxy, const std::string& client) {
    auto socket = Socket::connect(proxy, {.source = client + ":0"}, 20s);
    return socket ? socket->receive_text(1, 20s) : "";
}

/// Our own decision, without a socket.
class Decider {
public:
    explicit Decider(const std::vector<Address>& backends)
        : selector_(make_set(backends), {.kind = balancer::PolicyKind::ring_hash}, 1) {}

    void set_down(std::uint32_t i) { selector_.set_available(i, false); }

    std::string operator()(const std::string& client) {
        const auto key = hasher_.hash(Endpoint::parse(client + ":1234").value().ip());
        const auto pick = selector_.pick({.tried = {}, .key = key, .now = TimePoint()});
        return std::to_string(pick.value().index);
    }

private:
    static std::shared_ptr<const balancer::BackendSet> make_set(
        const std::vector<Address>& backends) {
        std::vector<balancer::BackendEntry> entries;
        for (std::size_t i = 0; i < size; ++i)
            entries.push_back(
                {std::make_shared<balancer::Backend>("up", backends[i].text(), Endpoint()),
                 weights[i]});
        return std::make_shared<const balancer::BackendSet>(
            std::move(entries), balancer::SetOptions{.hash_tables = balancer::HashTables::ring});
    }

    balancer::Selector selector_;
    balancer::KeyHasher hasher_{balancer::PolicyKind::ring_hash, balancer::HashKey::source_ip, 0};
};

TEST(Ketama, decides_as_nginx_for_10000_clients) {
    const KetamaNginx nginx;
    Decider decide(nginx.backends());
    std::set<std::string> answers;
    for (const auto& client : clients(10'000)) {
        const auto expected = answer(nginx.all(), client);
        ASSERT_EQ(decide(client), expected) << client;
        answers.insert(expected);
    }
    EXPECT_EQ(answers.size(), size);
}

TEST(Ketama, skips_as_nginx_what_is_down) {
    const KetamaNginx nginx;
    Decider with_all(nginx.backends());
    Decider decide(nginx.backends());
    decide.set_down(down);
    std::set<std::string> heirs;
    for (const auto& client : clients(2'000)) {
        const auto expected = answer(nginx.one_down(), client);
        ASSERT_EQ(decide(client), expected) << client;
        if (with_all(client) == std::to_string(down)) heirs.insert(expected);
    }
    EXPECT_GT(heirs.size(), 3U);
    EXPECT_FALSE(heirs.contains(std::to_string(down)));
}

// The whole program, several workers.
TEST(Ketama, penstock_in_place_of_nginx_moves_nobody) {
    const KetamaNginx nginx;
    std::string toml = R"(
[process]
workers = 2
[[listener]]
name = "in"
bind = "127.0.0.1:0"
upstream = "up"
[[upstream]]
name = "up"
balance = "ring_hash"
)";
    for (std::size_t i = 0; i < size; ++i)
        toml += fmt::format("[[upstream.backend]]\naddress = \"{}\"\nweight = {}\n",
                            nginx.backends()[i].text(), weights[i]);
    const ProxyProcess penstock(toml);
    for (const auto& client : clients(1'000))
        ASSERT_EQ(answer(penstock.address(), client), answer(nginx.all(), client)) << client;
}

}  // namespace
}  // namespace penstock::test
