#include <gtest/gtest.h>

#include <random>

#include "tests/e2e/scenario.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/redis_server.hpp"

/// Redis behind the proxy.
namespace penstock::test {
namespace {

constexpr unsigned clients = 20;

// Every kind of request is sent `requests` times; the server's counters must say so, and its data.
void run_benchmark(unsigned requests, const std::vector<std::string>& more = {}) {
    RedisServer redis;
    ProxyProcess proxy(proxy_for({redis.text()}));
    std::vector<std::string> argv{
        "redis-benchmark",        "-h", host_of(proxy.address()), "-p",
        port_of(proxy.address()), "-n", std::to_string(requests), "-c",
        std::to_string(clients),  "-t", "set,get,incr,lpush",     "--csv"};
    argv.insert(argv.end(), more.begin(), more.end());
    const std::string report = run_program(argv, 60s);
    EXPECT_EQ(report.find("rror"), std::string::npos) << report;
    for (const char* command : {"set", "get", "incr", "lpush"})
        EXPECT_EQ(redis.calls(command), requests) << command << "\n" << report;
    EXPECT_EQ(redis_cli(redis.address(), {"get", "counter:__rand_int__"}),
              std::to_string(requests) + "\n");
    EXPECT_EQ(redis_cli(redis.address(), {"llen", "mylist"}), std::to_string(requests) + "\n");
}

TEST(Redis, BenchmarkRequestByRequest) { run_benchmark(static_cast<unsigned>(sized(10000))); }
TEST(Redis, BenchmarkPipelined) {
    run_benchmark(static_cast<unsigned>(sized(80000)), {"-P", "16"});
}

// Values of any bytes and of all lengths around the sizes of buffers.
std::vector<std::string> some_values() {
    std::mt19937 random(20240607);  // fixed: the same in every run
    std::vector<std::string> values;
    for (std::size_t i = 0; i < 1000; ++i) {
        std::string value(random() % 8192, '\0');
        for (char& byte : value) byte = static_cast<char>(random());
        values.push_back(std::move(value));
    }
    for (const std::size_t size : {0U, 1U, 16383U, 16384U, 16385U, 65535U, 65536U, 1U << 20})
        values.emplace_back(size, 'x');
    return values;
}

TEST(Redis, PipelinedValuesReadBackTheSame) {
    RedisServer redis;
    ProxyProcess proxy(proxy_for({redis.text()}));
    const auto values = some_values();
    std::string writes, written, reads, read;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string key = "key:" + std::to_string(i);
        writes += redis_command({"SET", key, values[i]});
        written += "+OK\r\n";
        reads += redis_command({"GET", key});
        read += redis_bulk(values[i]);
    }
    auto through = Socket::connect(proxy.address());
    ASSERT_TRUE(through);
    ASSERT_TRUE(through->send(writes));
    ASSERT_EQ(through->receive_text(written.size()), written);
    // EXPECT_EQ would print all of it.
    ASSERT_TRUE(through->send(reads));
    EXPECT_TRUE(through->receive_text(read.size()) == read);
    auto direct = Socket::connect(redis.address());
    ASSERT_TRUE(direct);
    ASSERT_TRUE(direct->send(reads));
    EXPECT_TRUE(direct->receive_text(read.size()) == read);

    through->finish();
    EXPECT_EQ(through->wait_end(), End::fin);
    const auto lines = stop_with_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "completed");
    EXPECT_EQ(lines.at(0).bytes_to_backend, writes.size() + reads.size());
    EXPECT_EQ(lines.at(0).bytes_to_client, written.size() + read.size());
}

TEST(Redis, SubscriberGetsWhatOthersPublish) {
    RedisServer redis;
    ProxyProcess proxy(proxy_for({redis.text()}));
    auto subscriber = Socket::connect(proxy.address());
    ASSERT_TRUE(subscriber);
    ASSERT_TRUE(subscriber->send(redis_command({"SUBSCRIBE", "news"})));
    const std::string subscribed =
        "*3\r\n" + redis_bulk("subscribe") + redis_bulk("news") + ":1\r\n";
    ASSERT_EQ(subscriber->receive_text(subscribed.size()), subscribed);

    const std::string head = "*3\r\n" + redis_bulk("message") + redis_bulk("news");
    for (const Address& via : {redis.address(), proxy.address()}) {
        const std::string message = "by way of " + via.text();
        EXPECT_EQ(redis_cli(via, {"publish", "news", message}), "1\n");
        const std::string expected = head + redis_bulk(message);
        EXPECT_EQ(subscriber->receive_text(expected.size()), expected);
    }
    subscriber->finish();
    EXPECT_EQ(subscriber->wait_end(), End::fin);
    EXPECT_EQ(count_reasons(stop_with_lines(proxy, 2)), (Counts{{"completed", 2}}));
}

}  // namespace
}  // namespace penstock::test
