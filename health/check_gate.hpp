#pragma once

#include <chrono>
#include <cstddef>
#include <list>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

namespace penstock::health {

using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                boost::asio::wait_traits<std::chrono::steady_clock>,
                                                boost::asio::io_context::executor_type>;

/// Lets so many checks run at a time, over all upstreams; further ones wait in order. One thread.
class CheckGate {
public:
    static constexpr std::size_t most = 256;

    explicit CheckGate(boost::asio::io_context& context) : context_(context) {}
    CheckGate(const CheckGate&) = delete;
    CheckGate& operator=(const CheckGate&) = delete;

    /// Until there is room. False: the gate was closed, nothing was taken.
    [[nodiscard]] boost::asio::awaitable<bool> enter();
    void leave() noexcept;
    /// Nobody waits any more.
    void close() noexcept;

private:
    struct Waiter {
        explicit Waiter(boost::asio::io_context& context) : timer(context) {}
        Timer timer;
        bool let_in = false;
    };

    boost::asio::io_context& context_;
    std::list<Waiter*> waiting_;
    std::size_t inside_ = 0;
    bool closed_ = false;
};

}  // namespace penstock::health
