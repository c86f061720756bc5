#include "app/limits.hpp"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "app/with_commas.hpp"
#include "tests/support/temp_dir.hpp"

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

/// A hierarchy of cgroups in a directory.
class Cgroups {
public:
    void limit(const std::string& file, const std::string& value) {
        const auto path = directory_.path() / file;
        std::filesystem::create_directories(path.parent_path());
        directory_.write(file, value + "\n");
    }
    /// For a process whose /proc/self/cgroup says this.
    [[nodiscard]] std::uint64_t limit_of(const std::string& membership) {
        const auto file = directory_.write("membership", membership);
        return cgroup_memory_limit(file, directory_.path());
    }

private:
    test::TempDir directory_;
};

TEST(CgroupMemoryLimit, the_lowest_on_the_way_up_counts) {
    Cgroups cgroups;
    EXPECT_EQ(cgroups.limit_of("0::/system.slice/penstock.service\n"), 0U);
    cgroups.limit("system.slice/penstock.service/memory.max", "max");
    EXPECT_EQ(cgroups.limit_of("0::/system.slice/penstock.service\n"), 0U);
    cgroups.limit("system.slice/memory.max", "20000000");
    EXPECT_EQ(cgroups.limit_of("0::/system.slice/penstock.service\n"), 20'000'000U);
    cgroups.limit("system.slice/penstock.service/memory.max", "10000000");
    EXPECT_EQ(cgroups.limit_of("0::/system.slice/penstock.service\n"), 10'000'000U);
    EXPECT_EQ(cgroups.limit_of("0::/system.slice/other.service\n"), 20'000'000U);
    EXPECT_EQ(cgroups.limit_of("0::/\n"), 0U);
    cgroups.limit("memory.max", "5000000");
    EXPECT_EQ(cgroups.limit_of("0::/\n"), 5'000'000U) << "in a container";
}

TEST(CgroupMemoryLimit, version_1_has_a_place_of_its_own) {
    Cgroups cgroups;
    cgroups.limit("memory/docker/abc/memory.limit_in_bytes", "30000000");
    cgroups.limit("memory/memory.limit_in_bytes", "9223372036854771712");
    EXPECT_EQ(cgroups.limit_of("12:cpu,cpuacct:/x\n7:memory:/docker/abc\n0::/y\n"), 30'000'000U);
    EXPECT_EQ(cgroups.limit_of("7:memory:/\n"), 0U) << "the number for no limit";
    EXPECT_EQ(cgroups.limit_of("broken\n:\n\n"), 0U);
}

TEST(WithCommas, groups_by_thousands) {
    EXPECT_EQ(with_commas(0), "0");
    EXPECT_EQ(with_commas(999), "999");
    EXPECT_EQ(with_commas(1000), "1,000");
    EXPECT_EQ(with_commas(1234567), "1,234,567");
}

}  // namespace
}  // namespace penstock::app
