#pragma once

#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "app/process.hpp"

namespace penstock::app {

/// A thread for what takes the control thread too long, one piece of work after the other. Work
/// posts what it has made to the control thread's loop; so every helper has to end before what
/// waits in that loop is thrown away, which nothing else may touch meanwhile.
class HelperThread {
public:
    HelperThread() { boost::asio::post(pool_, block_signals); }
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

    /// Waits for the work that is under way; begins no other any more.
    void end() {
        pool_.stop();
        pool_.join();
    }

private:
    boost::asio::thread_pool pool_{1};
};

}  // namespace penstock::app
