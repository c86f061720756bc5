#pragma once

#include <cstdint>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "health/probe/deadline.hpp"

namespace penstock::health {

/// Lets a coroutine wait for the descriptor of a client library, up to the deadline of its check.
/// It watches a duplicate, which it closes: the library may replace or close its own at any time
/// in between, and a coroutine that is destroyed while it waits closes nothing of the library's.
class FdWait {
public:
    FdWait(boost::asio::io_context& context, TimePoint deadline);
    FdWait(const FdWait&) = delete;
    FdWait& operator=(const FdWait&) = delete;

    enum class For : std::uint8_t { reading, writing };
    /// False when the deadline has passed, or the descriptor cannot be watched.
    [[nodiscard]] boost::asio::awaitable<bool> wait(int fd, For what);

    [[nodiscard]] bool expired() const noexcept { return deadline_.expired(); }

private:
    using Descriptor =
        boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

    boost::asio::io_context& context_;
    Descriptor* waiting_ = nullptr;
    Deadline deadline_;
};

}  // namespace penstock::health
