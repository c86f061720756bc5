#include "net/run_and_post.hpp"

#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

class RunAndPost : public testing::Test {
protected:
    /// What is told of `work`, once it is done.
    template <typename T, typename Work>
    Made<T> made_by(Work work) {
        std::optional<Made<T>> told;
        run_and_post(thread, context, std::move(work), [&](Made<T> made) {
            told_on = std::this_thread::get_id();
            told.emplace(std::move(made));
        });
        thread.join();
        context.run();
        return *std::move(told);
    }

    boost::asio::io_context context{1};
    boost::asio::thread_pool thread{1};
    std::thread::id told_on;
};

TEST_F(RunAndPost, what_is_made_there_is_told_here) {
    std::thread::id made_on;
    const auto made = made_by<std::unique_ptr<int>>([&] {
        made_on = std::this_thread::get_id();
        return std::make_unique<int>(7);  // only moves
    });
    ASSERT_TRUE(made);
    EXPECT_EQ(**made, 7);
    EXPECT_NE(made_on, std::this_thread::get_id());
    EXPECT_EQ(told_on, std::this_thread::get_id());
}

// One that left the thread would end the process.
TEST_F(RunAndPost, what_is_thrown_there_is_told_here) {
    const auto made = made_by<int>([]() -> int { throw std::bad_alloc(); });
    ASSERT_FALSE(made);
    EXPECT_EQ(words_of(made.error()), "there is not enough memory");
    EXPECT_EQ(told_on, std::this_thread::get_id());
}

TEST(WordsOf, anything_that_can_be_thrown) {
    EXPECT_EQ(words_of(std::make_exception_ptr(std::runtime_error("the disk is full"))),
              "the disk is full");
    EXPECT_EQ(words_of(std::make_exception_ptr(1)), "something unknown was thrown");
}

}  // namespace
}  // namespace penstock::net
