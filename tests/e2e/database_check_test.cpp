#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "config/config.hpp"
#include "config/to_backends.hpp"
#include "health/probe/make_probe.hpp"
#include "tests/integration/scenario.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/mariadb.hpp"
#include "tests/servers/postgres.hpp"
#include "tests/servers/redis_server.hpp"
#include "tests/support/chaos_backend.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/process_stats.hpp"

/// Checks of real databases, by their client libraries, and clients that follow a role.
namespace penstock::test {
namespace {

using config::CheckType;
using health::ProbeResult;

ProbeResult check(const config::Upstream& settings, const std::string& address,
                  const std::string& password = "", milliseconds limit = patience) {
    boost::asio::io_context context;
    const auto probe = health::make_probe(context, settings, {.password = password});
    ProbeResult result;
    std::exception_ptr failed;
    const TimePoint deadline = SteadyClock().now() + scaled(limit);
    const auto endpoint = Endpoint::parse(address).value();
    const health::ProbeTarget target{.address = endpoint,
                                     .host = "",
                                     .verify_name = config::verify_name(settings, "", endpoint)};
    boost::asio::co_spawn(context, probe->check(target, deadline),
                          [&](std::exception_ptr error, ProbeResult ended) {
                              failed = std::move(error);
                              result = std::move(ended);
                          });
    context.run();
    if (failed) std::rethrow_exception(failed);
    return result;
}

config::Upstream of(CheckType type, std::string user = "") {
    config::Upstream settings;
    settings.health_check.type = type;
    settings.health_check.user = std::move(user);
    return settings;
}

void expect_role(const ProbeResult& result, penstock::Role role) {
    EXPECT_TRUE(result.ok) << result.detail;
    EXPECT_EQ(result.role, role);
}
void expect_failure(const ProbeResult& result, std::string_view part) {
    EXPECT_FALSE(result.ok);
    EXPECT_NE(result.detail.find(part), std::string::npos) << result.detail;
}

TEST(DatabaseCheck, redis_reports_its_role) {
    RedisServer primary;
    RedisServer replica;
    expect_role(check(of(CheckType::redis), replica.text()), penstock::Role::primary);
    redis_cli(replica.address(),
              {"replicaof", host_of(primary.address()), port_of(primary.address())});
    expect_role(check(of(CheckType::redis), primary.text()), penstock::Role::primary);
    expect_role(check(of(CheckType::redis), replica.text()), penstock::Role::replica);
    redis_cli(replica.address(), {"replicaof", "no", "one"});
    expect_role(check(of(CheckType::redis), replica.text()), penstock::Role::primary);
}

TEST(DatabaseCheck, redis_asks_for_passwords) {
    RedisServer server({"--requirepass", "secret"});
    expect_failure(check(of(CheckType::redis), server.text()), "NOAUTH");
    expect_failure(check(of(CheckType::redis), server.text(), "wrong"), "AUTH: WRONGPASS");
    expect_role(check(of(CheckType::redis), server.text(), "secret"), penstock::Role::primary);
    RedisServer users({"--user", "checker", "on", ">word", "+ping"});
    expect_role(check(of(CheckType::redis, "checker"), users.text(), "word"), penstock::Role::none);
    expect_failure(check(of(CheckType::redis, "nobody"), users.text(), "word"), "WRONGPASS");
}

TEST(DatabaseCheck, postgres_reports_its_role) {
    Postgres primary;
    const auto replica = Postgres::replica_of(primary);
    expect_role(check(of(CheckType::postgres), primary.text()), penstock::Role::primary);
    expect_role(check(of(CheckType::postgres), primary.unix_address().text()),
                penstock::Role::primary);
    expect_role(check(of(CheckType::postgres), replica.text()), penstock::Role::replica);
    replica.promote();
    expect_role(check(of(CheckType::postgres), replica.text()), penstock::Role::primary);
}

TEST(DatabaseCheck, postgres_lets_in_by_scram) {
    Postgres server;
    psql(server.address(), "create role checker login password 'secret'");
    server.require_password("checker");
    auto settings = of(CheckType::postgres, "checker");
    settings.health_check.database = "postgres";
    expect_role(check(settings, server.text(), "secret"), penstock::Role::primary);
    expect_failure(check(settings, server.text(), "wrong"), "password authentication failed");
    expect_failure(check(settings, server.text()), "no password supplied");
    settings.health_check.database = "nowhere";
    expect_failure(check(settings, server.text(), "secret"), "database \"nowhere\"");
}

TEST(DatabaseCheck, postgres_verifies_as_the_traffic_does) {
    const TempDir files;
    Pki pki(files);
    Postgres server;
    const Pair pair =
        pki.issue("server", {.names = {"DNS:a.example", "IP:127.0.0.2"}, .intermediates = 0});
    server.use_tls(pair.cert_pem, pair.key_pem);
    auto settings = of(CheckType::postgres);
    settings.tls.emplace().ca = pki.ca_file();
    settings.tls->server_name = "a.example";
    expect_role(check(settings, server.text()), penstock::Role::primary);
    settings.tls->server_name = "b.example";
    expect_failure(check(settings, server.text()), "does not match host name \"b.example\"");
    settings.tls->server_name = "";
    expect_failure(check(settings, server.text()), host_of(server.address()));
    Pki other(files, "other");
    settings.tls->ca = other.ca_file();
    settings.tls->server_name = "a.example";
    expect_failure(check(settings, server.text()), "certificate verify failed");
    settings.tls->verify = false;
    expect_role(check(settings, server.text()), penstock::Role::primary);
    settings.health_check.tls = config::CheckTls::off;
    expect_role(check(settings, server.text()), penstock::Role::primary);
    const Postgres plain;
    settings.health_check.tls = config::CheckTls::inherit;
    expect_failure(check(settings, plain.text()), "SSL");
}

TEST(DatabaseCheck, mysql_reports_its_role) {
    MariaDb server;
    server.execute("create user checker@'127.0.0.1' identified by 'secret'");
    server.execute("create user checker@localhost identified by 'secret'");
    expect_role(check(of(CheckType::mysql, "checker"), server.text(), "secret"),
                penstock::Role::primary);
    expect_role(check(of(CheckType::mysql, "checker"), "unix:" + server.socket(), "secret"),
                penstock::Role::primary);
    server.execute("set global read_only = 1");
    expect_role(check(of(CheckType::mysql, "checker"), server.text(), "secret"),
                penstock::Role::replica);
    expect_failure(check(of(CheckType::mysql, "checker"), server.text(), "wrong"),
                   "Access denied for user");
    expect_role(check(of(CheckType::mysql), server.text()), penstock::Role::none);
}

class HostileDatabase : public testing::TestWithParam<CheckType> {};

TEST_P(HostileDatabase, fails_in_time_and_keeps_nothing) {
    const auto settings = of(GetParam(), "checker");
    ClosedPort closed;
    ChaosBackend hangs(scripts::hang());
    ChaosBackend resets(scripts::reset_at_once());
    ChaosBackend ends(scripts::close_at_once());
    ChaosBackend babbles([](Socket& socket, const ChaosBackend& backend) {
        const std::string nonsense(4096, '$');
        while (!backend.stopping() && socket.send(nonsense)) {
        }
    });
    ChaosBackend promises([](Socket& socket, const ChaosBackend& backend) {
        socket.send("$536870912\r\n");  // half a gigabyte, as Redis announces it
        backend.hold();
    });
    const auto all = {closed.address.text(), hangs.text(),   resets.text(),
                      ends.text(),           babbles.text(), promises.text()};
    const auto once = [&] {
        for (const auto& address : all) {
            const auto result = check(settings, address, "secret", 200ms);
            EXPECT_FALSE(result.ok) << address;
            EXPECT_FALSE(result.detail.empty());
            EXPECT_LE(result.detail.size(), 200U);
            EXPECT_EQ(result.detail.find("secret"), std::string::npos);
        }
    };
    once();
    const auto descriptors = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
    };
    const auto client_sockets = [&] {
        // What the scripted servers hold goes when they notice the end.
        wait_for([&] {
            return resets.finished() == resets.accepted() && ends.finished() == ends.accepted() &&
                   babbles.finished() == babbles.accepted();
        });
        return descriptors() - hangs.accepted() - promises.accepted();
    };
    const auto before = client_sockets();
    for (int i = 0; i < 10; ++i) once();
    EXPECT_LE(client_sockets(), before + 2);
}

// As when the process ends: the library has to come to the end of what it has begun.
TEST_P(HostileDatabase, a_check_goes_with_its_loop_wherever_it_waits) {
    const auto settings = of(GetParam(), "a_user_whose_name_does_not_fit_into_its_string");
    const FullBacklog full;
    ChaosBackend hangs(scripts::hang());
    // The server keeps its end of each.
    const auto own = [&] { return descriptors_of(::getpid()) - hangs.accepted(); };
    const auto before = own();
    for (const auto& address : {full.text(), hangs.text()}) {
        auto context = std::make_unique<boost::asio::io_context>();
        const auto probe = health::make_probe(*context, settings, {.password = "secret"});
        bool ended = false;
        boost::asio::co_spawn(
            *context,
            probe->check({.address = Endpoint::parse(address).value(), .host = {}},
                         SteadyClock().now() + std::chrono::hours(1)),
            [&](std::exception_ptr, const ProbeResult&) { ended = true; });
        ASSERT_TRUE(wait_for([&] {
            context->poll();
            return address == full.text() || hangs.accepted() == 1;
        }));
        EXPECT_FALSE(ended);
        context.reset();
        EXPECT_TRUE(wait_for([&] { return own() == before; })) << address;
    }
}

INSTANTIATE_TEST_SUITE_P(Types, HostileDatabase,
                         testing::Values(CheckType::redis, CheckType::postgres, CheckType::mysql),
                         [](const auto& of) {
                             switch (of.param) {
                                 case CheckType::redis: return "redis";
                                 case CheckType::postgres: return "postgres";
                                 default: return "mysql";
                             }
                         });

ConfigText roles(const std::vector<std::string>& backends, const std::string& type) {
    ConfigText config =
        one_service(backends, "",
                    "on_role_change = \"kill\"\nhealth_check = { type = \"" + type +
                        "\", interval = \"100ms\", fast_interval = \"50ms\", timeout = \"5s\" }",
                    "role = \"primary\"");
    return config;
}

TEST(RoleFailover, redis_clients_follow_the_primary) {
    RedisServer a;
    RedisServer b;
    redis_cli(b.address(), {"replicaof", host_of(a.address()), port_of(a.address())});
    ProxyProcess proxy(roles({a.text(), b.text()}, "redis"));
    const auto ask = [&](Socket& client) {
        return client.send(redis_command({"config", "get", "port"})) ? client.receive_text(20) : "";
    };
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_FALSE(ask(*client).empty());
    redis_cli(b.address(), {"replicaof", "no", "one"});
    redis_cli(a.address(), {"replicaof", host_of(b.address()), port_of(b.address())});
    EXPECT_EQ(client->wait_end(), End::reset);
    std::size_t made = 1;
    ASSERT_TRUE(wait_for([&] {
        ++made;
        auto next = Socket::connect(proxy.address());
        if (!next || !next->send(redis_command({"set", "key", "value"}))) return false;
        return next->receive_text(5) == "+OK\r\n";
    }));
    const auto lines = expect_lines(proxy, made);
    EXPECT_EQ(lines.front().reason, "role_changed") << lines.front().raw;
    EXPECT_EQ(lines.back().backend, "b1") << lines.back().raw;
    EXPECT_EQ(redis_cli(b.address(), {"get", "key"}), "value\n");
}

TEST(RoleFailover, two_primaries_are_a_conflict_and_the_newest_is_believed) {
    RedisServer a;
    RedisServer b;
    redis_cli(b.address(), {"replicaof", host_of(a.address()), port_of(a.address())});
    ProxyProcess proxy(roles({a.text(), b.text()}, "redis"));
    redis_cli(b.address(), {"replicaof", "no", "one"});
    ASSERT_TRUE(wait_for([&] {
        return proxy.errors().find("says that it is primary, and so does b0") != std::string::npos;
    })) << proxy.errors();
    ASSERT_TRUE(wait_for([&] {
        auto next = Socket::connect(proxy.address());
        return next && next->send(redis_command({"set", "key", "value"})) &&
               next->receive_text(5) == "+OK\r\n" &&
               redis_cli(b.address(), {"get", "key"}) == "value\n";
    }));
}

TEST(RoleFailover, postgres_clients_follow_the_promotion) {
    Postgres a;
    const auto b = Postgres::replica_of(a);
    ProxyProcess proxy(roles({a.text(), b.text()}, "postgres"));
    EXPECT_EQ(psql(proxy.address(), "select pg_is_in_recovery()"), "f\n");
    const auto port = [&] { return psql(proxy.address(), "show port"); };
    EXPECT_EQ(port(), std::to_string(a.address().port()) + "\n");
    b.promote();
    EXPECT_TRUE(wait_for([&] { return port() == std::to_string(b.address().port()) + "\n"; }));
}

}  // namespace
}  // namespace penstock::test
