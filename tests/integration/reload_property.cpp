// Whatever the configurations: to run A and reload B is to run B.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

struct Key {
    const char* name;
    std::vector<const char*> values;
};

const std::vector<Key> listener_keys{
    {"max_connections_per_source", {"7", "90"}},
    {"accept_rate_per_source", {"\"100/s burst 200\"", "\"500/s\""}},
    {"source_prefix", {"{ ipv4 = 24, ipv6 = 56 }"}},
    {"limit_exempt", {"[\"127.0.0.0/8\"]"}},
    {"backlog", {"64", "512"}},
    {"dry_run", {"[\"accept_rate_per_source\"]"}},
    {"download_rate", {"\"10MiB/s\"", "\"1GiB/s\""}},
    {"upload_rate", {"\"10MiB/s\""}},
    {"peer_timeout", {"\"20s\"", "\"never\""}},
    {"keepalive", {"{ idle = \"30s\", probes = 3 }", "{ interval = \"5s\" }"}},
    {"client_hello_max", {"\"32KiB\""}},
    {"allow", {"[\"127.0.0.0/8\"]"}},
    {"route", {"[{ source = [\"192.0.2.0/24\"], upstream = \"s0\" }]"}},
};
const std::vector<Key> timeout_keys{
    {"half_closed", {"\"10s\"", "\"2m\""}},
    {"lifetime_jitter", {"0.25"}},
    {"client_hello", {"\"2s\""}},
    {"proxy_header", {"\"1s\""}},
    {"tls_handshake", {"\"3s\"", "\"20s\""}},
};
const std::vector<Key> upstream_keys{
    {"hash_key", {"\"source_ip_port\""}},
    {"bounded_load", {"1.5", "2"}},
    {"retry_backoff", {"{ base = \"10ms\" }", "{ base = \"50ms\", max = \"1s\" }"}},
    {"retry_budget", {"0.5"}},
    {"max_connecting_per_backend", {"9"}},
    {"spill_when_full", {"true"}},
    {"tier_join_below", {"0.5"}},
    {"hold", {"{ timeout = \"3s\", max_length = 5 }"}},
    {"pool", {"{ min_idle = 1 }", "{ min_idle = 1, max_idle = 2, max_age = \"20s\" }"}},
    {"rebalance", {"{ on = [\"added\"], over = \"5m\" }"}},
    {"drain", {"{ wait = \"1m\", close_over = \"10s\" }"}},
    {"send_proxy_protocol", {"\"v1\"", "\"v2\""}},
    {"source_address", {"[\"127.0.0.1\"]"}},
};

/// Configurations by chance, all of them valid; the backends are those given.
class Chance {
public:
    Chance(unsigned seed, std::vector<std::string> backends)
        : random_(seed), backends_(std::move(backends)) {}

    ConfigText next() {
        ConfigText config;
        config.process = "workers = 2\nhash_seed = " + std::to_string(up_to(2));
        config.access_log = "target = \"off\"";
        if (one_in(3)) config.log = "level = \"warn\"";
        std::vector<int> hosts{2, 3, 4, 5, 6, 7};
        std::ranges::shuffle(hosts, random_);
        const int count = 1 + up_to(4);
        for (int i = 0; i < count; ++i) config.services.push_back(service(i, hosts));
        std::ranges::shuffle(config.services, random_);
        return config;
    }

private:
    int up_to(int limit) { return std::uniform_int_distribution<int>(0, limit)(random_); }
    bool one_in(int n) { return up_to(n - 1) == 0; }
    std::string word(const char* key, const std::string& value) {
        return std::string(key) + " = " + value + "\n";
    }

    std::string some_of(const std::vector<Key>& keys) {
        std::string lines;
        for (const auto& [name, values] : keys)
            if (one_in(4))
                lines += word(
                    name,
                    values[static_cast<std::size_t>(up_to(static_cast<int>(values.size()) - 1))]);
        return lines;
    }

    Service service(int index, const std::vector<int>& hosts) {
        static constexpr std::array balances{
            "round_robin", "least_connections", "p2c",  "random", "least_latency",
            "maglev",      "ring_hash",         "first"};
        Service service;
        service.name = "s" + std::to_string(index);
        service.bind = "127.0.0." + std::to_string(hosts[static_cast<std::size_t>(index)]) + ":0";
        service.balance = balances[static_cast<std::size_t>(up_to(7))];
        for (const std::string& address : backends_)
            if (!one_in(3)) service.backends.push_back(backend(address));
        if (service.backends.empty()) service.backends.push_back(backend(backends_.front()));
        if (one_in(2)) service.listener += word("max_connections", std::to_string(10 + up_to(90)));
        if (one_in(3)) service.listener += word("refuse_with", "\"close\"");
        if (one_in(3)) service.listener += word("accept_rate", "\"1000/s\"");
        if (one_in(4)) service.listener += word("deny", "[\"192.0.2.0/24\"]");
        if (one_in(3))
            service.timeouts += word("idle", "\"" + std::to_string(5 + up_to(9)) + "m\"");
        if (one_in(3)) service.timeouts += word("lifetime", "\"2h\"");
        service.listener += some_of(listener_keys);
        service.timeouts += some_of(timeout_keys);
        service.upstream += some_of(upstream_keys);
        if (one_in(2)) service.upstream += word("attempts", std::to_string(1 + up_to(4)));
        if (one_in(3)) service.upstream += word("connect_timeout", "\"2s\"");
        if (one_in(3)) service.upstream += word("panic_threshold", "0.25");
        if (one_in(3)) service.upstream += word("max_connections", std::to_string(50 + up_to(50)));
        if (one_in(3)) service.upstream += word("no_backend", one_in(2) ? "\"close\"" : "\"hold\"");
        if (one_in(3)) service.upstream += word("queue", "{ max_length = 7, timeout = \"1s\" }");
        if (one_in(4)) service.upstream += word("circuit_breaker", "{ consecutive_failures = 9 }");
        if (one_in(3)) service.upstream += word("health_check", "\"tcp\"");
        return service;
    }

    std::string backend(const std::string& address) {
        std::string lines = "address = \"" + address + "\"\n";
        if (one_in(2)) lines += word("weight", std::to_string(1 + up_to(4)));
        if (one_in(4)) lines += word("tier", "1");
        if (one_in(4)) lines += word("max_connections", std::to_string(5 + up_to(20)));
        if (one_in(5)) lines += word("state", "\"drain\"");
        return lines;
    }

    std::mt19937 random_;
    std::vector<std::string> backends_;
};

std::string host_of(std::string_view address) {
    return std::string(address.substr(0, address.rfind(':')));
}

/// What is configured, without what depends on the moment: one line for each thing.
std::multiset<std::string> lines_of_listeners(const ProxyProcess& proxy) {
    std::multiset<std::string> lines;
    const auto listeners = get_json(proxy.admin(), "/api/v1/listeners");
    for (const auto& listener : listeners.as_array()) {
        std::string line = text(listener.at("name")) + " " + text(listener.at("upstream"));
        for (const auto& bind : listener.at("bind").as_array())
            line += " " + host_of(std::string_view(bind.as_string()));
        line += " limit " + text(listener.at("connections").at("limit")) + " queue " +
                text(listener.at("accept_queue").at("limit")) + " draining " +
                text(listener.at("draining"));
        lines.insert(line);
    }
    return lines;
}

std::multiset<std::string> lines_of_upstreams(const ProxyProcess& proxy) {
    std::multiset<std::string> lines;
    const auto upstreams = get_json(proxy.admin(), "/api/v1/upstreams");
    for (const auto& upstream : upstreams.as_array()) {
        const std::string name(upstream.at("name").as_string());
        lines.insert(name + " " + text(upstream.at("balance")) + " limit " +
                     text(upstream.at("connections").at("limit")) + " queue " +
                     text(upstream.at("queue").at("limit")) + " available " +
                     text(upstream.at("available")));
        for (const auto& backend : upstream.at("backends").as_array()) {
            std::string line = name;
            for (const char* key : {"name", "address", "tier", "state", "override", "weight",
                                    "available", "eligible", "excluded_by"})
                line += std::string(" ") + key + " " + text(backend.at(key));
            line += " check " + text(backend.at("check").at("state")) + " circuit " +
                    text(backend.at("circuit").at("state")) + " limit " +
                    text(backend.at("connections").at("limit"));
            lines.insert(line);
        }
    }
    return lines;
}

/// The verdicts of both must have come first, of new checks after a reload too.
bool is_settled(const ProxyProcess& proxy) {
    return wait_for([&] {
        for (const std::string& line : lines_of_upstreams(proxy))
            if (line.find("\"unknown\"") != std::string::npos) return false;
        return true;
    });
}

/// Samples of the fresh one that the reloaded one lacks; and gauges of configuration that differ.
std::vector<std::string> differences_of(const MetricsPage& fresh, const MetricsPage& reloaded) {
    std::vector<std::string> found;
    for (const auto& [sample, value] : fresh.samples()) {
        if (!reloaded.has(sample)) {
            found.push_back(sample + " is not there after a reload");
            continue;
        }
        const bool configured = sample.find("_limit{") != std::string::npos ||
                                sample.starts_with("penstock_upstream_hash_checksum") ||
                                sample.starts_with("penstock_upstream_backends") ||
                                sample.starts_with("penstock_backend_weight") ||
                                sample.starts_with("penstock_backend_admin_state") ||
                                sample.starts_with("penstock_backend_info");
        if (configured && reloaded.samples().at(sample) != value)
            found.push_back(sample + " differs");
    }
    return found;
}

class ReloadProperty : public testing::TestWithParam<unsigned> {};

TEST_P(ReloadProperty, C10_a_reload_is_as_good_as_a_fresh_start) {
    const std::array<EchoServer, 3> servers;
    std::vector<std::string> backends;
    for (const auto& server : servers) backends.push_back(server.text());
    Chance chance(GetParam(), backends);
    ConfigText config = chance.next();
    ProxyProcess reloaded(config);
    for (int i = 0; i < sized(12, 2); ++i) {
        const ConfigText next = chance.next();
        SCOPED_TRACE("from\n" + config.toml() + "\nto\n" + next.toml());
        reloaded.rewrite(next);
        const Answer plan = plan_of(reloaded);
        ASSERT_EQ(plan.status, 200) << plan.text;
        const std::string digest(plan.body.at("digest").as_string());
        EXPECT_EQ(reload_now(reloaded, "ffffff").status, digest == "ffffff" ? 200 : 409);
        const Answer answer = reload_now(reloaded, digest);
        ASSERT_EQ(answer.status, 200) << answer.text;
        EXPECT_EQ(changes_in(answer), changes_in(plan));
        EXPECT_TRUE(changes_in(plan_of(reloaded)).empty()) << plan_of(reloaded).text;
        ProxyProcess fresh(next);
        ASSERT_TRUE(is_settled(fresh) && is_settled(reloaded));
        EXPECT_EQ(config_of(reloaded), config_of(fresh));
        EXPECT_EQ(lines_of_listeners(reloaded), lines_of_listeners(fresh));
        EXPECT_EQ(lines_of_upstreams(reloaded), lines_of_upstreams(fresh));
        for (const auto& text : differences_of(metrics_of(fresh), metrics_of(reloaded)))
            ADD_FAILURE() << text;
        for (const Service& service : next.services) {
            const auto addresses = reloaded.addresses_now(service.name);
            ASSERT_EQ(addresses.size(), 1U) << service.name;
            EXPECT_TRUE(Socket::connect(addresses.at(0))) << service.name;
        }
        if (HasFailure()) return;
        config = next;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ReloadProperty, testing::Range(1U, 7U));

}  // namespace
}  // namespace penstock::test
