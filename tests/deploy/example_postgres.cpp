// deploy/examples/postgres: two real servers, of which the second takes over from the first.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "tests/deploy/example.hpp"
#include "tests/deploy/machines.hpp"
#include "tests/integration/admin_scenario.hpp"
#include "tests/servers/postgres.hpp"

namespace penstock::test {
namespace {

std::string ask_at(int port) {
    return "psql -h 10.0.0.10 -p " + std::to_string(port) +
           " -U app -Atc 'select inet_server_addr(), pg_is_in_recovery()'";
}

const std::string let_in = R"(hba=/etc/postgresql/15/main/pg_hba.conf
cp -p $hba $hba.before
cat pg_hba.conf $hba.before > $hba)";

const std::string make_user =
    R"(install -o postgres -m 600 setup.sql penstock.password /var/lib/postgresql/
(cd /var/lib/postgresql; runuser -u postgres -- psql -Xqf setup.sql; rm setup.sql penstock.password))";

/// The steps of the README up to the running proxy.
struct ExamplePostgres : ::testing::Test {
    Machines machines{{"10.0.0.10/16"}};
    Example example{"postgres"};
    Postgres first{Address::parse("10.0.0.1:5432")};
    std::optional<Postgres> second;
    std::unique_ptr<ProxyProcess> proxy;

    void SetUp() override {
        // What a replication that works has already, and nothing for anybody else.
        first.admit("host replication postgres 10.0.0.0/16 trust\n");
        example.follow("(umask 077; openssl rand -base64 24 > penstock.password)");
        example.follow(let_in, {{"/etc/postgresql/15/main", directory_of(first) + "/data"}});
        psql(first.unix_address(), "select pg_reload_conf()");
        on(first);
        example.follow(make_user, {{"/var/lib/postgresql", directory_of(first)}});
        psql(first.unix_address(), "create role app login password 'of-app'");
        psql(first.unix_address(), "create database app owner app");
        example.set("PGPASSFILE", example.write_secret("pgpass", "*:*:*:app:of-app\n"));
        second = Postgres::replica_of(first, Address::parse("10.0.0.2:5432"));
        proxy = example.run({});
    }
    static std::string directory_of(const Postgres& server) {
        const std::string path = server.unix_address().text().substr(std::string("unix:").size());
        return std::filesystem::path(path).parent_path();
    }
    /// From now on psql, told nothing else, is at that server's socket, as on its machine.
    void on(const Postgres& server) { example.set("PGHOST", directory_of(server)); }
    static std::string ask(const Postgres& server, const std::string& command) {
        return run_program({"psql", "--host=" + directory_of(server), "--username=postgres",
                            "-XAtc", command, "app"});
    }
    [[nodiscard]] json::value upstream(const std::string& name) const {
        return get_json(proxy->admin(), "/api/v1/upstreams/" + name);
    }
};

TEST_F(ExamplePostgres, writes_go_to_the_primary_and_reads_to_the_replica) {
    example.expect_strict();
    EXPECT_EQ(example.follow(ask_at(5432)), "10.0.0.1|f\n");
    EXPECT_EQ(example.follow(ask_at(5433)), "10.0.0.2|t\n");
    example.follow("pgbench -h 10.0.0.10 -p 5432 -U app -i -q app");
    const std::string wrote = example.follow("pgbench -h 10.0.0.10 -p 5432 -U app -c 8 -t 200 app");
    EXPECT_NE(wrote.find("actually processed: 1600/1600\n"), std::string::npos) << wrote;
    EXPECT_EQ(ask(first, "select count(*) from pgbench_history"), "1600\n");
    // Replication is not synchronous.
    const std::string replayed = ask(first, "select pg_current_wal_lsn()");
    ASSERT_TRUE(wait_for([&] {
        return ask(*second, "select pg_last_wal_replay_lsn() >= '" +
                                replayed.substr(0, replayed.find('\n')) + "'") == "t\n";
    }));
    const std::string got =
        example.follow("pgbench -h 10.0.0.10 -p 5433 -U app -n -c 8 -t 200 -S app");
    EXPECT_NE(got.find("actually processed: 1600/1600\n"), std::string::npos) << got;
    const std::string status = example.follow("penstock status");
    for (const char* row : {"pg-1     10.0.0.1:5432  up", "pg-2     10.0.0.2:5432  up"})
        EXPECT_NE(status.find(row), std::string::npos) << status;
}

TEST_F(ExamplePostgres, clients_follow_a_promotion) {
    first.kill();
    // Whoever comes now waits for the next primary.
    auto early = std::async(std::launch::async, [this] { return example.follow(ask_at(5432)); });
    ASSERT_TRUE(wait_for([&] { return upstream("primary").at("held") == 1; }));
    on(*second);
    EXPECT_EQ(example.follow("runuser -u postgres -- psql -Atc 'select pg_promote()'"), "t\n");
    EXPECT_EQ(early.get(), "10.0.0.2|f\n");
    EXPECT_EQ(example.follow(ask_at(5432)), "10.0.0.2|f\n");
    // Nobody is a replica now.
    ASSERT_TRUE(wait_for([&] {
        return upstream("servers").at("backends").at(1).at("check").at("role") == "primary";
    }));
    EXPECT_EQ(example.follow(ask_at(5434)), "10.0.0.2|f\n");
    auto reader = Socket::connect(Address::parse("10.0.0.10:5433"));
    ASSERT_TRUE(reader);
    EXPECT_EQ(reader->wait_end(), End::reset);
    ASSERT_TRUE(wait_for([&] { return upstream("primary").at("connections").at("active") == 0; }));
    const std::string chosen = ">  pg-2     10.0.0.2:5432       0       1    1.0  chosen\n";
    example.expect_told(chosen);
    EXPECT_NE(example.follow("penstock explain writes").find(chosen), std::string::npos);

    // The old one comes back and knows of nothing.
    first.start();
    ASSERT_TRUE(wait_for([&] {
        return metrics_of(*proxy).value("penstock_upstream_role_conflict{upstream=\"primary\"}") ==
               1;
    }));
    EXPECT_EQ(example.follow(ask_at(5432)), "10.0.0.2|f\n");
    const std::string conflict =
        "primary/pg-2 role conflict: says that it is primary, and so does pg-1: "
        "the newer claim is believed\n";
    example.expect_told(conflict);
    EXPECT_NE(example.follow("penstock events").find(conflict), std::string::npos);
    EXPECT_TRUE(upstream("primary").at("backends").at(0).at("check").at("role").is_null());
    const std::string explained = example.follow("penstock explain writes");
    EXPECT_NE(explained.find("pg-1     10.0.0.1:5432       0       1      -  excluded: "),
              std::string::npos)
        << explained;
    EXPECT_EQ(explained.find("it is not available"), std::string::npos) << explained;
}

TEST_F(ExamplePostgres, nobody_goes_on_writing_to_the_old_primary) {
    ChildProcess writer(
        {"psql", "-Xc", "select pg_sleep(60)", "postgresql://app:of-app@10.0.0.10:5432/app"});
    ASSERT_TRUE(wait_for([&] { return upstream("primary").at("connections").at("active") == 1; }));
    const auto promotion = Clock::now();
    second->promote();
    const auto status = writer.wait_exit();
    EXPECT_TRUE(status && *status != 0) << writer.output();
    EXPECT_LT(since(promotion), scaled(promptly));
    EXPECT_EQ(expect_lines(*proxy, 1)[0].reason, "role_changed");
}

}  // namespace
}  // namespace penstock::test
