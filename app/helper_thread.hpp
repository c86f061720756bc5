#pragma once

#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "app/process.hpp"
#include "base/clock.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

/// A thread for what takes the control thread too long, one piece of work after the other. Work
/// posts what it has made to the control thread's loop; so every helper has to end before what
/// waits in that loop is thrown away, which nothing else may touch meanwhile.
class HelperThread {
public:
    /// Throws std::system_error where there can be no thread more.
    HelperThread() {
        std::promise<void> ended;
        ended_ = ended.get_future();
        const auto begun = std::make_shared<std::latch>(1);
        boost::asio::post(pool_, [&ended, begun] {
            block_signals();
            ended.set_value_at_thread_exit();
            begun->count_down();
        });
        begun->wait();
    }
    HelperThread(const HelperThread&) = delete;
    HelperThread& operator=(const HelperThread&) = delete;
    ~HelperThread() { end(); }

    /// Any thread. `work` is destroyed there, or with this object where it was not begun.
    template <typename F>
    void run(F work) {
        boost::asio::post(pool_, std::move(work));
    }
    /// For who wants a pool; it has this one thread.
    [[nodiscard]] boost::asio::thread_pool& pool() noexcept { return pool_; }

    /// Waits for the work that is under way; begins no other any more. False: at the deadline it
    /// is still under way.
    bool end(TimePoint deadline = no_deadline) {
        pool_.stop();
        if (deadline != no_deadline &&
            ended_.wait_until(net::to_asio(deadline)) != std::future_status::ready)
            return false;
        pool_.join();
        return true;
    }

private:
    std::future<void> ended_;
    boost::asio::thread_pool pool_{1};
};

}  // namespace penstock::app
