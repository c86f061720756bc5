#include "proxy/routing/destination.hpp"

#include <cmath>

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "proxy/context.hpp"
#include "proxy/pool/warm_pool.hpp"

namespace penstock::proxy {
namespace {

UpstreamPtr upstream_called(const std::string& name) {
    config::Upstream settings;
    settings.name = name;
    std::vector<balancer::BackendEntry> entries;
    auto first = std::make_shared<const balancer::Snapshot>(
        std::make_shared<const balancer::BackendSet>(std::move(entries)));
    return new UpstreamContext(std::make_shared<UpstreamShared>(settings, 1),
                               std::make_shared<const config::Upstream>(settings), std::move(first),
                               0, 1);
}

CompactEndpoint client(std::uint32_t address, std::uint16_t port) {
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_addr.s_addr = htonl(address);
    raw.sin_port = htons(port);
    return CompactEndpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), sizeof raw);
}
CompactEndpoint unix_client() {
    sockaddr raw{};
    raw.sa_family = AF_UNIX;
    return CompactEndpoint::from_sockaddr(&raw, sizeof raw.sa_family);
}

class DestinationTest : public testing::Test {
protected:
    Destination split_by(config::SplitBy by, std::uint64_t hash_seed = 0,
                         std::uint64_t random = 1) {
        Random numbers(random);
        return {{{"a", 7}, {"b", 3}}, by, {a, b}, hash_seed, numbers};
    }
    UpstreamPtr a = upstream_called("a");
    UpstreamPtr b = upstream_called("b");
};

TEST_F(DestinationTest, without_a_split_there_is_one_or_none) {
    Destination one(a);
    Destination none(nullptr);
    for (std::uint32_t i = 0; i < 10; ++i) {
        EXPECT_EQ(one.choose(client(i, 1)), a.get());
        EXPECT_EQ(none.choose(client(i, 1)), nullptr);
    }
}

TEST_F(DestinationTest, by_chance_each_round_of_turns_has_the_exact_shares) {
    for (const std::uint64_t random : {1U, 2U, 3U, 4U}) {
        Destination router = split_by(config::SplitBy::random, 0, random);
        for (int round = 0; round < 20; ++round) {
            int of_b = 0;
            for (int i = 0; i < 10; ++i) of_b += router.choose(client(1, 1)) == b.get() ? 1 : 0;
            EXPECT_EQ(of_b, 3);
        }
    }
}

TEST_F(DestinationTest, by_source_the_address_alone_decides_alike_on_every_worker) {
    Destination worker = split_by(config::SplitBy::source_ip, 5, 1);
    Destination other = split_by(config::SplitBy::source_ip, 5, 2);
    Destination seeded = split_by(config::SplitBy::source_ip, 6, 1);
    int of_b = 0;
    int moved = 0;
    constexpr int sources = 10000;
    for (std::uint32_t i = 0; i < sources; ++i) {
        const auto* chosen = worker.choose(client(0x0a000000 + i, 1000));
        EXPECT_EQ(other.choose(client(0x0a000000 + i, 2000)), chosen);
        of_b += chosen == b.get() ? 1 : 0;
        moved += seeded.choose(client(0x0a000000 + i, 1000)) != chosen ? 1 : 0;
    }
    // Six standard deviations of independent draws.
    EXPECT_NEAR(of_b, sources * 0.3, 6 * std::sqrt(sources * 0.3 * 0.7));
    EXPECT_NEAR(moved, sources * 0.42, 6 * std::sqrt(sources * 0.42 * 0.58));
}

TEST_F(DestinationTest, unix_clients_have_no_address_and_go_by_turns) {
    Destination router = split_by(config::SplitBy::source_ip);
    int of_b = 0;
    for (int i = 0; i < 100; ++i) of_b += router.choose(unix_client()) == b.get() ? 1 : 0;
    EXPECT_EQ(of_b, 30);
}

TEST(SourceHash, depends_on_address_and_seed_and_on_nothing_else) {
    EXPECT_EQ(source_hash(client(1, 1), 1), source_hash(client(1, 2), 1));
    EXPECT_NE(source_hash(client(1, 1), 1), source_hash(client(2, 1), 1));
    EXPECT_NE(source_hash(client(1, 1), 1), source_hash(client(1, 1), 2));
    EXPECT_FALSE(source_hash(unix_client(), 1));
    EXPECT_FALSE(source_hash({}, 1));
}

}  // namespace
}  // namespace penstock::proxy
