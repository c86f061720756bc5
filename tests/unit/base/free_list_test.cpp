#include "base/free_list.hpp"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(FreeList, blocks_do_not_overlap) {
    std::vector<char*> blocks;
    for (int i = 0; i < 200; ++i) {
        auto* block = static_cast<char*>(free_list::take(100));
        std::memset(block, i, 100);
        blocks.push_back(block);
    }
    for (std::size_t i = 0; i < blocks.size(); ++i)
        for (int k = 0; k < 100; ++k) ASSERT_EQ(blocks[i][k], static_cast<char>(i));
    for (char* block : blocks) free_list::give_back(block, 100);
}

#ifndef PENSTOCK_NO_POOLS
TEST(FreeList, a_block_that_was_given_back_is_the_next_one_taken) {
    void* first = free_list::take(64);
    free_list::give_back(first, 64);
    void* second = free_list::take(50);  // the same size class
    EXPECT_EQ(first, second);
    free_list::give_back(second, 50);
}

TEST(FreeList, trim_keeps_memory_while_a_block_is_out) {
    void* block = free_list::take(64);
    free_list::trim();
    EXPECT_GT(free_list::cached_blocks(), 0U);
    free_list::give_back(block, 64);
    free_list::trim();
    EXPECT_EQ(free_list::cached_blocks(), 0U);
}
#endif

TEST(FreeList, large_blocks_work_as_well) {
    void* block = free_list::take(1 << 20);
    std::memset(block, 1, 1 << 20);
    free_list::give_back(block, 1 << 20);
}

}  // namespace
}  // namespace penstock
