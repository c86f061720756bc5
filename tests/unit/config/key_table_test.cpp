#include "config/key_table.hpp"

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "config/format.hpp"
#include "config/reference.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

TEST(ConfigKeyTable, IsConsistent) {
    std::set<std::string_view> paths;
    for (const auto& table : all_tables()) {
        EXPECT_TRUE(paths.insert(table.path).second) << "twice: " << table.path;
        std::set<std::string_view> names;
        for (const auto& key : table.keys) {
            const auto where = std::string(table.header) + " " + std::string(key.name);
            EXPECT_TRUE(names.insert(key.name).second) << "twice: " << where;
            EXPECT_FALSE(key.doc.empty()) << where;
            EXPECT_NE(key.access, nullptr) << where;
            EXPECT_LE(key.least, key.most) << where;
            if (!key.child.empty()) {
                EXPECT_NO_THROW((void)table_spec(key.child)) << where;
            }
            if (!key.default_from.empty()) {
                EXPECT_NE(table.find(key.default_from), nullptr) << where;
            }
            if (key.required) {
                EXPECT_FALSE(key.example.empty()) << where;
            }
        }
    }
}

/// The slot a row gives must be of the type that its kind is read into.
TEST(ConfigKeyTable, KindsFitTheMembers) {
    for (const auto& table : all_tables()) {
        if (table.make == nullptr) continue;
        const auto object = table.make();
        for (const auto& key : table.keys) {
            const auto where = std::string(table.header) + " " + std::string(key.name);
            const auto slot = key.access(object.get());
            const auto holds = [&]<typename T>() { return std::holds_alternative<T>(slot); };
            switch (key.kind) {
                case Kind::boolean: EXPECT_TRUE(holds.operator()<bool*>()) << where; break;
                case Kind::size:
                case Kind::byte_rate:
                    EXPECT_TRUE(holds.operator()<std::uint64_t*>()) << where;
                    break;
                case Kind::rate: EXPECT_TRUE(holds.operator()<Rate*>()) << where; break;
                case Kind::peers: EXPECT_TRUE(holds.operator()<PeerList*>()) << where; break;
                case Kind::integer:
                    EXPECT_TRUE(holds.operator()<std::uint32_t*>() ||
                                holds.operator()<std::uint64_t*>())
                        << where;
                    if (holds.operator()<std::uint32_t*>()) {
                        EXPECT_LE(key.most, 0xFFFFFFFF) << where;
                    }
                    break;
                case Kind::number:
                case Kind::share: EXPECT_TRUE(holds.operator()<double*>()) << where; break;
                case Kind::duration: EXPECT_TRUE(holds.operator()<Duration*>()) << where; break;
                case Kind::string:
                case Kind::path:
                case Kind::pattern:
                case Kind::name:
                case Kind::backend_name:
                    EXPECT_TRUE(holds.operator()<std::string*>()) << where;
                    break;
                case Kind::word: EXPECT_TRUE(holds.operator()<WordSlot>()) << where; break;
                case Kind::words:
                    ASSERT_TRUE(holds.operator()<FlagsSlot>()) << where;
                    EXPECT_EQ(std::get<FlagsSlot>(slot).flags.size(),
                              split_words(key.words).size());
                    break;
                case Kind::strings:
                case Kind::paths:
                case Kind::server_names:
                    EXPECT_TRUE(holds.operator()<std::vector<std::string>*>()) << where;
                    break;
                case Kind::bind:
                    EXPECT_TRUE(holds.operator()<std::vector<Bind>*>() ||
                                holds.operator()<std::vector<Endpoint>*>())
                        << where;
                    break;
                case Kind::local_addresses:
                case Kind::name_servers:
                    EXPECT_TRUE(holds.operator()<std::vector<Endpoint>*>()) << where;
                    break;
                case Kind::address: EXPECT_TRUE(holds.operator()<AddressSlot>()) << where; break;
                case Kind::mode: EXPECT_TRUE(holds.operator()<std::uint32_t*>()) << where; break;
                case Kind::statuses:
                    EXPECT_TRUE(holds.operator()<std::vector<StatusRange>*>()) << where;
                    break;
                case Kind::table:
                    EXPECT_TRUE(holds.operator()<TableSlot>() || holds.operator()<OptionalSlot>())
                        << where;
                    break;
                case Kind::map:
                    EXPECT_TRUE(holds.operator()<std::vector<SniUpstream>*>()) << where;
                    break;
                case Kind::tables: EXPECT_TRUE(holds.operator()<RowsSlot>()) << where; break;
            }
        }
    }
}

TEST(ConfigKeyTable, DefaultsAreThoseOfTheContract) {
    const std::tuple<std::string_view, std::string_view, std::string_view> rows[] = {
        {"process", "workers", "\"auto\""},
        {"process", "max_connections", "\"auto\""},
        {"process", "memory_limit", "\"auto\""},
        {"process", "strict_permissions", "false"},
        {"process", "sandbox", "\"auto\""},
        {"process", "shutdown_delay", "\"0s\""},
        {"process", "hash_seed", "0"},
        {"process.drain", "wait", "\"25s\""},
        {"process.drain", "close_over", "\"5s\""},
        {"process.upgrade_drain", "wait", "\"1h\""},
        {"process.upgrade_drain", "close_over", "\"5m\""},
        {"process", "max_old_processes", "3"},
        {"process", "watch_config", "\"check\""},
        {"log", "level", "\"info\""},
        {"log", "format", "\"text\""},
        {"log", "target", "\"stderr\""},
        {"access_log", "target", "\"off\""},
        {"access_log", "format", "\"json\""},
        {"access_log", "events", "[\"close\"]"},
        {"access_log", "skip_empty", "false"},
        {"access_log", "flush_interval", "\"1s\""},
        {"admin", "ready_upstreams", "[]"},
        {"admin", "allowed_hosts", "[]"},
        {"admin.listener", "bind", "[\"unix:$RUNTIME/admin.sock\"]"},
        {"admin.listener", "access", "\"full\""},
        {"admin.listener", "socket_mode", "\"0600\""},
        {"admin.listener", "socket_group", "\"\""},
        {"admin.listener", "token_file", "\"\""},
        {"admin.listener", "allow", "[]"},
        {"admin.listener.tls", "cert", "\"\""},
        {"admin.listener.tls", "key", "\"\""},
        {"listener", "upstream", "\"\""},
        {"listener", "split_by", "\"random\""},
        {"listener", "backlog", "4096"},
        {"listener", "max_connections", "0"},
        {"listener", "max_connections_per_source", "0"},
        {"listener", "accept_rate", "\"\""},
        {"listener", "accept_rate_per_source", "\"\""},
        {"listener", "limit_exempt", "[]"},
        {"listener", "allow", "[]"},
        {"listener", "deny", "[]"},
        {"listener", "allow_file", "\"\""},
        {"listener", "deny_file", "\"\""},
        {"listener", "dry_run", "[]"},
        {"listener", "proxy_protocol", "\"off\""},
        {"listener", "proxy_protocol_from", "[]"},
        {"listener", "proxy_protocol_untrusted", "\"refuse\""},
        {"listener", "client_hello_max", "\"16KiB\""},
        {"listener", "starttls", "\"\""},
        {"listener.timeouts", "proxy_header", "\"5s\""},
        {"listener.timeouts", "client_hello", "\"5s\""},
        {"listener.timeouts", "tls_handshake", "\"10s\""},
        {"listener.tls", "min_version", "\"1.2\""},
        {"listener.tls", "max_version", "\"1.3\""},
        {"listener.tls", "ciphers", "\"\""},
        {"listener.tls", "alpn", "[]"},
        {"listener.tls", "client_ca", "\"\""},
        {"listener.tls", "client_crl", "\"\""},
        {"listener.tls", "client_auth", "\"off\""},
        {"listener.tls", "client_names", "[]"},
        {"listener.tls", "session_tickets", "true"},
        {"listener.tls", "session_cache", "20000"},
        {"listener.tls", "session_ticket_key_files", "[]"},
        {"listener.tls", "strict_sni", "false"},
        {"listener.tls", "max_handshakes", "0"},
        {"listener.tls.certificates", "key", "\"\""},
        {"listener.tls.certificates", "key_password_file", "\"\""},
        {"listener.route", "sni", "[]"},
        {"listener.route", "alpn", "[]"},
        {"listener.route", "source", "[]"},
        {"listener.route", "role", "\"\""},
        {"listener.route", "tls", "\"\""},
        {"listener.route", "starttls", "\"\""},
        {"upstream", "send_proxy_protocol", "\"off\""},
        {"upstream", "send_proxy_protocol_tlvs", "[]"},
        {"upstream.health_check", "send_proxy_protocol", "\"auto\""},
        {"upstream.tls", "server_name", "\"\""},
        {"upstream.tls", "ca", "\"\""},
        {"upstream.tls", "crl", "\"\""},
        {"upstream.tls", "verify", "true"},
        {"upstream.tls.client_certificate", "cert", "\"\""},
        {"upstream.tls", "session_reuse", "true"},
        {"upstream.tls", "alpn", "[]"},
        {"upstream.tls", "min_version", "\"1.2\""},
        {"listener", "download_rate", "\"\""},
        {"listener", "upload_rate", "\"\""},
        {"listener.split", "weight", "1"},
        {"listener.source_prefix", "ipv4", "32"},
        {"listener.source_prefix", "ipv6", "64"},
        {"listener", "on_limit", "\"refuse\""},
        {"listener", "refuse_with", "\"reset\""},
        {"listener", "peer_timeout", "\"30s\""},
        {"listener.keepalive", "idle", "\"1m\""},
        {"listener.keepalive", "interval", "\"15s\""},
        {"listener.keepalive", "probes", "4"},
        {"listener.timeouts", "idle", "\"1h\""},
        {"listener.timeouts", "half_closed", "\"1m\""},
        {"listener.timeouts", "lifetime", "\"never\""},
        {"listener.timeouts", "lifetime_jitter", "0.1"},
        {"upstream", "balance", "\"p2c\""},
        {"upstream", "hash_key", "\"source_ip\""},
        {"upstream", "bounded_load", "0.0"},
        {"upstream", "retry_budget", "0.2"},
        {"upstream", "max_connections", "0"},
        {"upstream", "max_connecting_per_backend", "0"},
        {"upstream", "spill_when_full", "false"},
        {"upstream", "tier_join_below", "0.0"},
        {"upstream", "source_address", "[]"},
        {"upstream.hold", "timeout", "\"30s\""},
        {"upstream.hold", "max_length", "1024"},
        {"upstream.queue", "max_length", "1024"},
        {"upstream.queue", "timeout", "\"5s\""},
        {"upstream.queue", "policy", "\"fifo\""},
        {"upstream.pool", "min_idle", "0"},
        {"upstream.pool", "max_idle", "0"},
        {"upstream.pool", "max_age", "\"30s\""},
        {"upstream.slow_start", "window", "\"0s\""},
        {"upstream.slow_start", "min_weight", "0.1"},
        {"upstream.slow_start", "aggression", "1.0"},
        {"upstream.rebalance", "on", "[]"},
        {"upstream.rebalance", "over", "\"10m\""},
        {"upstream.rebalance", "max_share", "0.2"},
        {"upstream.rebalance", "min_age", "\"5m\""},
        {"upstream.backend_defaults", "weight", "1"},
        {"upstream.backend_defaults", "tier", "0"},
        {"upstream.backend_defaults", "max_connections", "0"},
        {"upstream.backend", "max_connections", "0"},
        {"upstream", "connect_timeout", "\"4s\""},
        {"upstream", "attempts", "3"},
        {"upstream", "no_backend", "\"reset\""},
        {"upstream.retry_backoff", "base", "\"25ms\""},
        {"upstream.retry_backoff", "max", "\"250ms\""},
        {"upstream.backend", "weight", "1"},
        {"upstream.backend", "tier", "0"},
        {"upstream.backend", "state", "\"ready\""},
        {"upstream.circuit_breaker", "consecutive_failures", "5"},
    };
    for (const auto& [path, name, expected] : rows) {
        const auto& table = table_spec(path);
        ASSERT_NE(table.find(name), nullptr) << path << '.' << name;
        EXPECT_EQ(default_text(table, *table.find(name)), expected) << path << '.' << name;
    }
}

/// Examples stand in error messages, so they must be right.
TEST(ConfigKeyTable, ExamplesAreValid) {
    for (const auto& key : table_spec("listener").keys)
        if (!key.example.empty() && !key.own && key.name != "upstream" && key.name != "split" &&
            key.name != "sni" && key.name != "route") {  // which name upstreams of their own
            const auto result = testing::load(
                testing::valid(std::string(key.name) + " = " + std::string(key.example)));
            EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        }
    for (const auto& key : table_spec("upstream").keys)
        if (!key.example.empty() && !key.own) {
            const auto result = testing::load(
                testing::valid({}, std::string(key.name) + " = " + std::string(key.example)));
            EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        }
    for (const auto& key : table_spec("admin").keys)
        if (!key.example.empty()) {
            const auto example = std::string(key.name) + " = " + std::string(key.example);
            auto text = testing::valid({}, {}, "[admin]\n" + example + "\n");
            if (key.name == "ready_upstreams")
                text += "[[upstream]]\nname = \"web\"\nbackend = \"10.0.0.9:80\"\n";
            const auto result = testing::load(text);
            EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        }
    for (const auto& key : table_spec("admin.listener").keys)
        if (!key.example.empty()) {
            const bool is_for_unix = key.name.starts_with("socket_");
            const bool is_own = key.name == "bind" || is_for_unix;
            const auto result = testing::load(testing::valid(
                {}, {},
                "[[admin.listener]]\naccess = \"metrics\"\n" +
                    std::string(is_own ? "" : "bind = \"127.0.0.1:9901\"\n") +
                    std::string(key.name) + " = " + std::string(key.example) + "\n"));
            EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        }
    for (const auto* path : {"process", "log", "access_log"})
        for (const auto& key : table_spec(path).keys)
            if (!key.example.empty()) {
                const auto result =
                    testing::load(testing::valid({}, {},
                                                 std::string(path) + "." + std::string(key.name) +
                                                     " = " + std::string(key.example) + "\n"));
                EXPECT_TRUE(result.ok()) << format(result.diagnostics);
            }
}

TEST(ConfigKeyTable, ReferencePageIsUpToDate) {
    std::ifstream file(PENSTOCK_REFERENCE_PAGE);
    ASSERT_TRUE(file) << PENSTOCK_REFERENCE_PAGE;
    const std::string page((std::istreambuf_iterator<char>(file)), {});
    EXPECT_NE(page.find(reference()), std::string::npos)
        << "docs/configuration.md must contain this:\n"
        << reference();
}

}  // namespace
}  // namespace penstock::config
