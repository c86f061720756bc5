#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "net/buffer_pool.hpp"
#include "net/pipe_pool.hpp"

namespace penstock::net {
namespace {

TEST(BufferPool, squeezed_it_does_not_grow) {
    BufferPool pool(10 * BufferPool::small);
    Buffer* const first = pool.take(BufferPool::small);
    Buffer* const second = pool.take(BufferPool::small);
    ASSERT_TRUE(first != nullptr && second != nullptr);
    pool.squeeze(true);
    EXPECT_EQ(pool.take(1), nullptr);
    pool.give_back(second);
    Buffer* const instead = pool.take(1);
    ASSERT_NE(instead, nullptr) << "what came back may be given out again";
    pool.squeeze(true);
    EXPECT_EQ(pool.take(1), nullptr) << "said again, it stays at what was in use at first";
    pool.give_back(first);
    pool.squeeze(false);
    Buffer* const other = pool.take(BufferPool::small);
    Buffer* const third = pool.take(BufferPool::small);
    EXPECT_NE(third, nullptr);
    pool.give_back(instead);
    pool.give_back(other);
    pool.give_back(third);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(BufferPool, lends_two_sizes_up_to_its_cap) {
    BufferPool pool(BufferPool::large + BufferPool::small);
    Buffer* large = pool.take(BufferPool::small + 1);
    ASSERT_NE(large, nullptr);
    EXPECT_EQ(large->capacity(), BufferPool::large);
    Buffer* small = pool.take(1);
    ASSERT_NE(small, nullptr);
    EXPECT_EQ(small->capacity(), BufferPool::small);
    EXPECT_FALSE(pool.has_room_for(1));
    EXPECT_EQ(pool.take(1), nullptr);
    pool.give_back(large);
    EXPECT_TRUE(pool.has_room_for(1));
    pool.give_back(small);
    EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(BufferPool, a_buffer_holds_what_is_left_to_send) {
    BufferPool pool(1 << 20);
    Buffer* buffer = pool.take(3);
    const std::byte bytes[] = {std::byte{1}, std::byte{2}, std::byte{3}};
    buffer->assign(bytes);
    buffer->consume(2);
    ASSERT_EQ(buffer->pending().size(), 1U);
    EXPECT_EQ(buffer->pending()[0], std::byte{3});
    pool.give_back(buffer);
}

class PipePoolTest : public testing::Test {
protected:
    ManualClock clock;
    TimingWheel wheel{clock.now()};
    PipePool pool{wheel};
};

TEST_F(PipePoolTest, is_bounded_and_keeps_one_idle_pipe) {
    std::vector<Pipe*> pipes;
    while (Pipe* pipe = pool.take()) pipes.push_back(pipe);
    EXPECT_EQ(pipes.size(), PipePool::max_pipes);
    for (Pipe* pipe : pipes) pool.give_back(pipe, clock.now());
    EXPECT_EQ(pool.open(), PipePool::max_pipes);
    clock.advance(PipePool::idle_time + TimingWheel::resolution);
    wheel.advance(clock.now());
    EXPECT_EQ(pool.open(), 1U);
}

TEST_F(PipePoolTest, reads_the_real_capacity_back) {
    Pipe* pipe = pool.take();
    ASSERT_NE(pipe, nullptr);
    EXPECT_EQ(::fcntl(pipe->write_end(), F_GETPIPE_SZ), static_cast<int>(pipe->capacity()));
    pool.give_back(pipe, clock.now());
}

TEST_F(PipePoolTest, rule_2_never_lends_a_pipe_with_bytes_in_it) {
    Pipe* pipe = pool.take();
    ASSERT_EQ(::write(pipe->write_end(), "abc", 3), 3);
    pipe->filled(3);
    pool.give_back(pipe, clock.now());
    EXPECT_EQ(pool.open(), 0U);
    Pipe* fresh = pool.take();
    ASSERT_NE(fresh, nullptr);
    EXPECT_EQ(fresh->size(), 0U);
    pool.give_back(fresh, clock.now());
}

}  // namespace
}  // namespace penstock::net
