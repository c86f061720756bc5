#include "proxy/waiting_workers.hpp"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace penstock::proxy {
namespace {

TEST(WaitingWorkers, wakes_each_marked_one_once_in_turns) {
    WaitingWorkers waiting(3);
    EXPECT_FALSE(waiting.take_one());
    waiting.mark(0);
    waiting.mark(2);
    waiting.mark(2);
    const auto first = waiting.take_one();
    const auto second = waiting.take_one();
    ASSERT_TRUE(first && second);
    EXPECT_NE(*first, *second);
    EXPECT_FALSE(waiting.take_one());
}

}  // namespace
}  // namespace penstock::proxy
