#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "net/fd_frame.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

/// Two connected ends, for two processes on this machine.
[[nodiscard]] Result<std::pair<UniqueFd, UniqueFd>> make_fd_channel();

/// Messages with descriptors over a unix stream socket, for a process that has nothing else to do
/// yet: calls wait. After an error that is not a time-out of receive(), the channel is of no more
/// use. One thread.
class BlockingFdChannel {
public:
    explicit BlockingFdChannel(UniqueFd fd, const FdLimits& limits = {})
        : fd_(std::move(fd)), reader_(limits) {}

    /// The descriptors stay the caller's.
    [[nodiscard]] std::expected<void, FdChannelError> send(std::string_view bytes,
                                                           const std::vector<int>& fds,
                                                           TimePoint deadline);
    /// What is there is taken even if the deadline has passed.
    [[nodiscard]] std::expected<FdMessage, FdChannelError> receive(TimePoint deadline);
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// To go on with it elsewhere; between messages.
    [[nodiscard]] UniqueFd release() noexcept { return std::move(fd_); }

private:
    UniqueFd fd_;
    FdFrameReader reader_;
};

/// The same for coroutines of an io_context, its thread only. Several may send, one after the
/// other; one receives. After an error that is not a time-out of receive(), the channel is of no
/// more use. When it is destroyed or closed, whoever waits gets an error.
class FdChannel {
public:
    FdChannel(boost::asio::io_context& context, UniqueFd fd, const FdLimits& limits = {});
    ~FdChannel();
    FdChannel(FdChannel&&) noexcept = default;
    FdChannel& operator=(FdChannel&&) = delete;

    /// The descriptors stay the caller's; they have to stay open until it is done.
    [[nodiscard]] boost::asio::awaitable<std::expected<void, FdChannelError>> send(
        std::string bytes, std::vector<int> fds, TimePoint deadline);
    [[nodiscard]] boost::asio::awaitable<std::expected<FdMessage, FdChannelError>> receive(
        TimePoint deadline);

    void close();
    /// What has arrived can still be received, then it ends, whoever holds the other side.
    void end_reading() noexcept;
    /// A duplicate, to hand it on to another process; invalid if it is closed or there is none
    /// left.
    [[nodiscard]] UniqueFd duplicate() const noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace penstock::net
