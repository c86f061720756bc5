#pragma once

#include <exception>
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

namespace penstock::net {

/// What some work has made, or what it threw.
template <typename T>
using Made = std::expected<T, std::exception_ptr>;

/// What was thrown, in words for a user.
[[nodiscard]] std::string words_of(const std::exception_ptr& failure);

/// Runs `work()` on `thread`, and then `done(Made<...>)` on the thread of `context`. Whatever the
/// work throws is there: one that leaves a thread of the pool would end the process. `work` is
/// destroyed on `thread`, or with the pool where it was not begun. Any thread; `thread` has to end
/// before `context` does.
template <typename Work, typename Done>
void run_and_post(boost::asio::thread_pool& thread, boost::asio::io_context& context, Work work,
                  Done done) {
    using Result = Made<std::invoke_result_t<Work&>>;
    static_assert(!std::is_void_v<std::invoke_result_t<Work&>>, "nothing to tell of it");
    boost::asio::post(thread, [&context, task = std::move(work), then = std::move(done)]() mutable {
        const auto outcome = [&task]() -> Result {
            try {
                return task();
            } catch (...) {
                return std::unexpected(std::current_exception());
            }
        };
        boost::asio::post(context, [then = std::move(then), made = outcome()]() mutable {
            then(std::move(made));
        });
    });
}

}  // namespace penstock::net
