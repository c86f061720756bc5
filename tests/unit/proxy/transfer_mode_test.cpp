#include "proxy/transfer_mode.hpp"

#include <gtest/gtest.h>

namespace penstock::proxy {
namespace {

constexpr std::size_t small = net::BufferPool::small;
constexpr std::size_t large = net::BufferPool::large;

TEST(TransferMode, short_messages_stay_small) {
    TransferMode mode;
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(mode.read_size(), small);
        mode.on_read(64, small);
    }
    EXPECT_FALSE(mode.wants_splice());
}

TEST(TransferMode, repeated_full_reads_grow_to_splice) {
    TransferMode mode;
    mode.on_read(small, small);
    EXPECT_EQ(mode.read_size(), small) << "one full read is a large message, not bulk";
    mode.on_read(small, small);
    EXPECT_EQ(mode.read_size(), large);
    mode.on_read(large, large);
    mode.on_read(large, large);
    EXPECT_TRUE(mode.wants_splice());
}

TEST(TransferMode, a_short_read_between_full_ones_starts_the_count_anew) {
    TransferMode mode;
    for (int i = 0; i < 10; ++i) {
        mode.on_read(small, small);
        mode.on_read(100, small);
    }
    EXPECT_EQ(mode.read_size(), small);
}

TEST(TransferMode, bulk_that_dries_up_goes_back_to_small_reads) {
    TransferMode mode;
    for (int i = 0; i < 2; ++i) mode.on_read(small, small);
    for (int i = 0; i < 2; ++i) mode.on_read(large, large);
    ASSERT_TRUE(mode.wants_splice());
    for (int i = 0; i < 7; ++i) mode.on_splice(100);
    mode.on_splice(large);
    EXPECT_TRUE(mode.wants_splice()) << "not in a row";
    for (int i = 0; i < 8; ++i) mode.on_splice(100);
    EXPECT_FALSE(mode.wants_splice());
    EXPECT_EQ(mode.read_size(), small);
}

}  // namespace
}  // namespace penstock::proxy
