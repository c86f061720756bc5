#include "tests/servers/postgres.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/e2e/scenario.hpp"

/// PostgreSQL behind the proxy.
namespace penstock::test {
namespace {

constexpr unsigned clients = 4;
const unsigned transactions_each = static_cast<unsigned>(sized(100));

class PostgresTest : public ::testing::Test {
protected:
    // pgbench's accounts in the database, without anybody in between.
    void create_accounts() { pgbench(server_.address(), {"--initialize", "--quiet"}); }

    // TPC-B: the amounts moved are booked on account, teller and branch, and one line of history
    // each.
    void expect_booked(unsigned transactions) {
        EXPECT_EQ(psql(server_.address(), "select count(*) from pgbench_history"),
                  std::to_string(transactions) + "\n");
        const std::string sum = psql(server_.address(), "select sum(delta) from pgbench_history");
        EXPECT_NE(sum, "\n");
        EXPECT_EQ(psql(server_.address(), "select sum(abalance) from pgbench_accounts"), sum);
        EXPECT_EQ(psql(server_.address(), "select sum(tbalance) from pgbench_tellers"), sum);
        EXPECT_EQ(psql(server_.address(), "select sum(bbalance) from pgbench_branches"), sum);
    }

    Postgres server_;
};

void expect_all_processed(const std::string& report, unsigned transactions) {
    const std::string number = std::to_string(transactions);
    EXPECT_NE(report.find("actually processed: " + number + "/" + number + "\n"), std::string::npos)
        << report;
    EXPECT_NE(report.find("number of failed transactions: 0 (0.000%)"), std::string::npos)
        << report;
}

std::vector<std::string> bench_options() {
    return {"--no-vacuum", "--client=" + std::to_string(clients), "--jobs=2",
            "--transactions=" + std::to_string(transactions_each)};
}

void expect_all_completed(ProxyProcess& proxy, std::size_t count) {
    EXPECT_EQ(count_reasons(stop_with_lines(proxy, count)), (Counts{{"completed", count}}));
}

TEST_F(PostgresTest, LongConnectionsBookEveryTransaction) {
    create_accounts();
    ProxyProcess proxy(proxy_for({server_.text()}));
    const unsigned transactions = clients * transactions_each;
    expect_all_processed(pgbench(proxy.address(), bench_options()), transactions);
    expect_booked(transactions);
    expect_all_completed(proxy, clients + 1);  // one more reads the scale beforehand
}

TEST_F(PostgresTest, ConnectionPerTransactionBooksEveryTransaction) {
    create_accounts();
    ProxyProcess proxy(proxy_for({server_.text()}));
    auto options = bench_options();
    options.emplace_back("--connect");
    const unsigned transactions = clients * transactions_each;
    expect_all_processed(pgbench(proxy.address(), options), transactions);
    expect_booked(transactions);
    expect_all_completed(proxy, transactions + 1);
}

// About 12 MiB.
constexpr const char* large_result =
    "copy (select i, md5(i::text), repeat(chr(65 + i % 26), i % 100) "
    "from generate_series(1, 140000) i) to stdout";

TEST_F(PostgresTest, LargeResultsAreTheSameBytes) {
    ProxyProcess proxy(proxy_for({server_.text()}, 1));  // the order of lines is that of one worker
    const std::string direct = psql(server_.address(), large_result);
    ASSERT_GT(direct.size(), 10U << 20);
    // EXPECT_EQ would print both.
    EXPECT_TRUE(psql(proxy.address(), large_result) == direct);

    // And up: what a copy through the proxy stores reads back the same without it.
    const std::string file = (proxy.directory() / "rows").string();
    std::ofstream(file) << direct;
    psql(server_.address(), "create table copied (i int, hash text, filler text)");
    psql(proxy.address(), "\\copy copied from '" + file + "'");
    EXPECT_TRUE(psql(server_.address(), "copy (select * from copied order by i) to stdout") ==
                direct);

    const auto lines = stop_with_lines(proxy, 2);
    EXPECT_EQ(count_reasons(lines), (Counts{{"completed", 2}}));
    EXPECT_GT(lines.at(0).bytes_to_client, direct.size());
    EXPECT_GT(lines.at(1).bytes_to_backend, direct.size());
}

TEST_F(PostgresTest, UnixSocketsOnBothSides) {
    create_accounts();
    ConfigText config = proxy_for({server_.unix_address().text()});
    // The name that PostgreSQL's clients look for in a directory.
    config.services.push_back({.name = "local",
                               .bind = postgres_socket("@DIR@", 5432).text(),
                               .backends = {server_.unix_address().text()}});
    ProxyProcess proxy(config);
    const Address local = proxy.address("local");
    ASSERT_TRUE(local.is_unix());
    for (const Address& via : {proxy.address(), local})
        EXPECT_TRUE(psql(via, large_result) == psql(server_.address(), large_result));
    const unsigned transactions = clients * transactions_each;
    expect_all_processed(pgbench(local, bench_options()), transactions);
    expect_booked(transactions);
    expect_all_completed(proxy, 2 + clients + 1);
}

}  // namespace
}  // namespace penstock::test
