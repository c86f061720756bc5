#include "app/off_thread.hpp"

#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <gtest/gtest.h>

namespace penstock::app {
namespace {

namespace asio = boost::asio;

class OffThread : public testing::Test {
protected:
    /// What the coroutine returned, once the loop has run out of work.
    template <typename T>
    T result_of(asio::awaitable<T> coroutine) {
        auto result = asio::co_spawn(context, std::move(coroutine), asio::use_future);
        context.restart();
        context.run();
        return result.get();
    }

    asio::io_context context{1};
    HelperThread helper;
};

TEST_F(OffThread, runs_on_the_helper_and_goes_on_here_with_what_it_returned) {
    const auto here = std::this_thread::get_id();
    std::thread::id there;
    std::thread::id after;
    const auto run = [&]() -> asio::awaitable<std::unique_ptr<std::string>> {
        auto work = off_thread(context, helper, [&] {
            there = std::this_thread::get_id();
            return std::make_unique<std::string>("built");  // only moves
        });
        auto built = co_await std::move(work);
        after = std::this_thread::get_id();
        co_return built;
    };
    EXPECT_EQ(*result_of(run()), "built");
    EXPECT_NE(there, here);
    EXPECT_EQ(after, here);
}

// The control thread serves everybody else while something is read or built.
TEST_F(OffThread, the_loop_goes_on_meanwhile) {
    std::promise<void> loop_goes_on;
    asio::post(context, [&] { loop_goes_on.set_value(); });
    const auto run = [&]() -> asio::awaitable<bool> {
        auto work = off_thread(context, helper, [&] {
            return loop_goes_on.get_future().wait_for(std::chrono::seconds(20)) ==
                   std::future_status::ready;
        });
        co_return co_await std::move(work);
    };
    EXPECT_TRUE(result_of(run()));
}

TEST_F(OffThread, several_at_a_time_get_each_their_own) {
    int sum = 0;
    const auto run = [&](int i) -> asio::awaitable<void> {
        auto work = off_thread(context, helper, [i] { return i; });
        sum += (co_await std::move(work)) * i;
    };
    for (int i = 1; i <= 3; ++i) asio::co_spawn(context, run(i), asio::use_future);
    context.run();
    EXPECT_EQ(sum, 1 + 4 + 9);
}

// What was read may be large: it is freed where it was made.
TEST_F(OffThread, the_work_dies_on_the_helper) {
    struct Witness {
        explicit Witness(std::thread::id* where) : died_on(where) {}
        Witness(Witness&& other) noexcept : died_on(std::exchange(other.died_on, nullptr)) {}
        Witness& operator=(Witness&&) = delete;
        ~Witness() {
            if (died_on != nullptr) *died_on = std::this_thread::get_id();
        }
        std::thread::id* died_on;
    };
    std::thread::id died_on;
    const auto run = [&]() -> asio::awaitable<int> {
        Witness witness(&died_on);
        auto work = off_thread(context, helper, [kept = std::move(witness)] { return 1; });
        co_return co_await std::move(work);
    };
    EXPECT_EQ(result_of(run()), 1);
    helper.end();
    EXPECT_NE(died_on, std::this_thread::get_id());
    EXPECT_NE(died_on, std::thread::id());
}

}  // namespace
}  // namespace penstock::app
