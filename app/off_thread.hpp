#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/helper_thread.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

/// Runs `work()` on `helper` while the io_context goes on, and gives what it returns or throws.
/// `work` is destroyed there. Control thread.
template <typename Work>
auto off_thread(boost::asio::io_context& context, HelperThread& helper, Work work)
    -> boost::asio::awaitable<decltype(work())> {
    namespace asio = boost::asio;
    using Result = decltype(work());
    struct State {
        explicit State(asio::io_context& its_context) : done(its_context) {}
        asio::steady_timer done;
        bool is_done = false;
        std::optional<Result> result;
        std::exception_ptr failure;
    };
    const auto state = std::make_shared<State>(context);
    helper.run([&context, state, task = std::move(work)]() mutable {
        // Read there only after the mail that says so.
        try {
            state->result.emplace(task());
        } catch (...) {
            state->failure = std::current_exception();
        }
        asio::post(context, [state] {
            state->is_done = true;
            state->done.cancel();
        });
    });
    while (!state->is_done) {
        state->done.expires_at(net::to_asio(no_deadline));
        auto waiting = state->done.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    if (state->failure) std::rethrow_exception(state->failure);
    co_return std::move(*state->result);
}

}  // namespace penstock::app
