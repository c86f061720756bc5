// One worker's view of an upstream whose settings change, or that leaves.
#include "proxy/upstream.hpp"

#include <set>

#include <gtest/gtest.h>

#include "proxy/pool/warm_pool.hpp"

namespace penstock::proxy {
namespace {

using balancer::BackendSet;
using balancer::HashTables;

constexpr TimePoint noon{std::chrono::hours(12)};

std::shared_ptr<balancer::Backend> backend(const std::string& name) {
    return std::make_shared<balancer::Backend>("up", name, *Endpoint::parse("10.0.0.1:80"));
}

class UpstreamChange : public testing::Test {
protected:
    using Backends = std::vector<std::shared_ptr<balancer::Backend>>;

    static SnapshotPtr snapshot_of(const Backends& backends,
                                   const balancer::SetOptions& options = {}) {
        std::vector<balancer::BackendEntry> entries;
        for (const auto& one : backends) entries.push_back({one});
        return std::make_shared<const balancer::Snapshot>(
            std::make_shared<const BackendSet>(std::move(entries), options));
    }
    void make(config::Upstream first, const SnapshotPtr& snapshot) {
        first.name = "up";
        settings = std::move(first);
        shared = std::make_shared<UpstreamShared>(settings, 1);
        context = new UpstreamContext(shared, std::make_shared<const config::Upstream>(settings),
                                      snapshot, 0, 1);
    }
    void change(const SnapshotPtr& snapshot) {
        shared->configure(settings);
        context->change(std::make_shared<const config::Upstream>(settings), snapshot);
    }
    /// Who gets a client with that key now.
    std::string pick(std::uint64_t key = 0, Role role = Role::none) {
        const balancer::Bitmap nobody_tried;
        const auto picked =
            context->lane(role).selector.pick({.tried = nobody_tried, .key = key, .now = noon});
        return picked ? context->set()->backend(picked->index).name() : "";
    }

    Backends abc{backend("a"), backend("b"), backend("c")};
    config::Upstream settings;
    std::shared_ptr<UpstreamShared> shared;
    UpstreamPtr context;
};

TEST_F(UpstreamChange, another_policy_counts_in_every_lane) {
    make({.balance = config::Balance::first}, snapshot_of(abc));
    context->lane(Role::primary);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(pick(), "a");
    settings.balance = config::Balance::round_robin;
    auto next = std::make_shared<balancer::Snapshot>(context->set());
    next->views[std::to_underlying(Role::primary)].available.set(1);
    change(next);
    const std::string round = pick() + pick() + pick();
    EXPECT_NE(round.find('a'), std::string::npos) << round;
    EXPECT_NE(round.find('b'), std::string::npos) << round;
    EXPECT_NE(round.find('c'), std::string::npos) << round;
    EXPECT_EQ(pick(0, Role::primary), "b");
    EXPECT_FALSE(context->wants_latency);
    settings.balance = config::Balance::least_latency;
    change(snapshot_of(abc));
    EXPECT_TRUE(context->wants_latency);
    EXPECT_NE(pick(), "");
}

// The old set has no tables for the new policy, the new one none for the old policy.
TEST_F(UpstreamChange, a_hash_policy_comes_with_its_tables_and_goes_with_them) {
    make({.balance = config::Balance::round_robin}, snapshot_of(abc));
    context->lane(Role::replica);
    for (const auto& [balance, tables] :
         {std::pair(config::Balance::maglev, HashTables::maglev),
          std::pair(config::Balance::ring_hash, HashTables::ring),
          std::pair(config::Balance::p2c, HashTables::none),
          std::pair(config::Balance::ring_hash, HashTables::ring)}) {
        settings.balance = balance;
        change(snapshot_of(abc, {.hash_tables = tables, .hash_seed = 7}));
        const std::string owner = pick(12345);
        EXPECT_NE(owner, "");
        if (tables != HashTables::none) {
            for (int i = 0; i < 5; ++i) EXPECT_EQ(pick(12345), owner);
        }
    }
}

TEST_F(UpstreamChange, clients_are_hashed_with_the_seed_of_the_set) {
    const balancer::SetOptions seven{.hash_tables = HashTables::maglev, .hash_seed = 7};
    make({.balance = config::Balance::maglev}, snapshot_of(abc, seven));
    const auto client = Endpoint::parse("192.0.2.1:5000").value().ip();
    const auto before = context->hasher.hash(client);
    settings.attempts = 1;
    change(snapshot_of(abc, seven));
    EXPECT_EQ(context->hasher.hash(client), before);
    change(snapshot_of(abc, {.hash_tables = HashTables::maglev, .hash_seed = 8}));
    EXPECT_NE(context->hasher.hash(client), before);
}

TEST_F(UpstreamChange, where_connections_come_from_and_how_they_are_kept_alive) {
    make({.source_address = {*Endpoint::parse("127.0.0.5:0")}}, snapshot_of(abc));
    ASSERT_NE(context->sources.current(AF_INET), nullptr);
    settings.source_address = {*Endpoint::parse("127.0.0.6:0"), *Endpoint::parse("127.0.0.7:0")};
    settings.keepalive = {
        .idle = std::chrono::seconds(7), .interval = std::chrono::seconds(3), .probes = 2};
    change(snapshot_of(abc));
    EXPECT_EQ(context->sources.count(AF_INET), 2U);
    EXPECT_EQ(context->sources.current(AF_INET)->to_string(), "127.0.0.6:0");
    EXPECT_EQ(context->keepalive.idle_s, 7U);
    // Whose turn it is does not start over for something else.
    context->sources.go_on(AF_INET);
    settings.attempts = 1;
    change(snapshot_of(abc));
    EXPECT_EQ(context->sources.current(AF_INET)->to_string(), "127.0.0.7:0");
    settings.source_address.clear();
    change(snapshot_of(abc));
    EXPECT_EQ(context->sources.current(AF_INET), nullptr);
}

TEST_F(UpstreamChange, limits_are_those_of_all_workers) {
    make({.max_connections = 1}, snapshot_of(abc));
    auto first = shared->connections.try_acquire();
    EXPECT_FALSE(context->has_room(context->lane(Role::none)));
    settings.max_connections = 2;
    settings.hold.max_length = 3;
    settings.queue.max_length = 0;
    change(snapshot_of(abc));
    EXPECT_TRUE(context->has_room(context->lane(Role::none)));
    EXPECT_EQ(shared->held.limit(), 3U);
    Waiter waiter(0);
    for (const Role role : {Role::none, Role::primary, Role::replica})
        EXPECT_FALSE(shared->line(role).join(waiter, noon));
}

TEST_F(UpstreamChange, a_policy_goes_on_where_it_stands_while_it_is_the_same) {
    make({.balance = config::Balance::round_robin}, snapshot_of(abc));
    const std::string first = pick();
    const std::string second = pick();
    settings.attempts = 1;
    context->change(std::make_shared<const config::Upstream>(settings),
                    std::make_shared<const balancer::Snapshot>(context->set()));
    const std::string third = pick();
    EXPECT_EQ((std::set{first, second, third}).size(), 3U) << first << second << third;
}

// Sessions only point to their backends.
TEST_F(UpstreamChange, a_backend_that_left_lives_until_its_sessions_have_ended) {
    make({}, snapshot_of(abc));
    abc[0]->session_started();
    balancer::Backend* with_session = abc[0].get();
    const std::weak_ptr<balancer::Backend> busy = abc[0];
    const std::weak_ptr<balancer::Backend> idle = abc[1];
    Backends rest{abc[2]};
    abc.clear();
    change(snapshot_of(rest));
    EXPECT_FALSE(busy.expired());
    with_session->session_ended();
    change(snapshot_of(rest));
    change(snapshot_of({backend("d")}));
    EXPECT_TRUE(busy.expired());
    EXPECT_TRUE(idle.expired());
}

TEST_F(UpstreamChange, who_left_has_nobody_for_anybody) {
    make({.balance = config::Balance::maglev},
         snapshot_of(abc, {.hash_tables = HashTables::maglev}));
    context->lane(Role::primary);
    EXPECT_NE(pick(1), "");
    context->leave();
    EXPECT_TRUE(context->left);
    EXPECT_EQ(pick(1), "");
    EXPECT_EQ(pick(1, Role::primary), "");
    EXPECT_EQ(pick(1, Role::replica), "") << "a lane that is made later";
    EXPECT_FALSE(context->has_room(context->lane(Role::none)));
    EXPECT_EQ(context->set()->size(), 0U);
}

}  // namespace
}  // namespace penstock::proxy
