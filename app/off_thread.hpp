#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "app/helper_thread.hpp"
#include "net/asio_words.hpp"
#include "net/run_and_post.hpp"

namespace penstock::app {

/// Runs `work()` on `helper` while the io_context goes on, and gives what it returns or throws.
/// `work` is destroyed there. Control thread.
template <typename Work>
auto off_thread(boost::asio::io_context& context, HelperThread& helper, Work work)
    -> boost::asio::awaitable<decltype(work())> {
    using Result = net::Made<decltype(work())>;
    struct State {
        explicit State(boost::asio::io_context& its_context) : done(its_context) {}
        boost::asio::steady_timer done;
        std::optional<Result> made;
    };
    const auto state = std::make_shared<State>(context);
    net::run_and_post(helper.pool(), context, std::move(work), [state](Result made) {
        state->made.emplace(std::move(made));
        state->done.cancel();
    });
    while (!state->made) {
        state->done.expires_at(net::to_asio(no_deadline));
        auto waiting = state->done.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    if (!*state->made) std::rethrow_exception(state->made->error());
    co_return *std::move(*state->made);
}

}  // namespace penstock::app
