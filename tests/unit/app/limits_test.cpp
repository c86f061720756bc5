#include "app/limits.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

TEST(ConnectionLimit, R4_auto_leaves_room_for_everything_else) {
    const auto limit = connection_limit(0, 65536, {4, 8});
    ASSERT_TRUE(limit);
    EXPECT_LE(limit->connections * 2 + 64 + 8 + 4 * (4 + 2 * 64), 65536U);
    EXPECT_GT(limit->connections, 32000U);
    EXPECT_EQ(limit->cause, "descriptor limit 65,536");
}

TEST(ConnectionLimit, R4_an_explicit_value_is_kept_or_refused_with_the_numbers) {
    const auto fits = connection_limit(1000, 65536, {1, 1});
    ASSERT_TRUE(fits);
    EXPECT_EQ(fits->connections, 1000U);
    const auto too_many = connection_limit(100000, 65536, {1, 1});
    ASSERT_FALSE(too_many);
    EXPECT_NE(too_many.error().find("100,000"), std::string::npos);
    EXPECT_NE(too_many.error().find("65,536"), std::string::npos);
}

TEST(ConnectionLimit, R4_too_few_descriptors_for_any_connection_is_an_error) {
    EXPECT_FALSE(connection_limit(0, 64, {1, 1}));
}

TEST(ConnectionLimit, R4_warm_connections_take_descriptors_too) {
    config::Upstream pooled;
    pooled.pool = {.min_idle = 10, .max_idle = 100};
    pooled.backends.resize(3);
    pooled.backends[2].max_connections = 5;
    config::Upstream bounded = pooled;
    bounded.max_connections = 50;
    config::Upstream plain;
    plain.backends.resize(1);
    config::Config config;
    config.upstreams = {plain, pooled};
    EXPECT_EQ(warm_connections(config), 205U);
    config.upstreams = {bounded, pooled};
    EXPECT_EQ(warm_connections(config), 255U);
    const auto without = connection_limit(0, 65536, {1, 1});
    const auto with = connection_limit(0, 65536, {1, 1, 205});
    ASSERT_TRUE(without && with);
    EXPECT_NEAR(static_cast<double>(without->connections - with->connections), 102.5, 1);
}

TEST(WithCommas, groups_by_thousands) {
    EXPECT_EQ(with_commas(0), "0");
    EXPECT_EQ(with_commas(999), "999");
    EXPECT_EQ(with_commas(1000), "1,000");
    EXPECT_EQ(with_commas(1234567), "1,234,567");
}

}  // namespace
}  // namespace penstock::app
