#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/asio_words.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {

/// A worker that is stuck keeps nobody waiting longer than this.
inline constexpr auto longest_wait_for_workers = std::chrono::seconds(2);

/// Runs `question(worker)` on each worker and gives the answers, in the order of the workers; one
/// that did not answer in time gives its default value. Control thread.
template <typename Answer, typename Question>
boost::asio::awaitable<std::vector<Answer>> ask_workers(boost::asio::io_context& context,
                                                        const proxy::Workers& workers,
                                                        Question question) {
    namespace asio = boost::asio;
    struct State {
        State(asio::io_context& its_context, std::size_t count)
            : timer(its_context), answers(count), left(count) {}
        asio::steady_timer timer;
        std::vector<Answer> answers;
        std::size_t left;
        bool over = false;  // who answers now is too late
    };
    const auto state = std::make_shared<State>(context, workers.size());
    for (std::size_t i = 0; i < workers.size(); ++i) {
        proxy::Worker* const worker = workers[i].get();
        worker->send([&context, state, worker, question, i] {
            asio::post(context, [state, i, answer = question(*worker)]() mutable {
                if (state->over) return;
                state->answers[i] = std::move(answer);
                if (--state->left == 0) state->timer.cancel();
            });
        });
    }
    state->timer.expires_after(longest_wait_for_workers);
    auto waiting = state->timer.async_wait(net::as_result);
    co_await std::move(waiting);
    state->over = true;
    co_return std::move(state->answers);
}

}  // namespace penstock::app
