#include "net/fd_channel.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/secret.hpp"
#include "net/asio_words.hpp"

namespace penstock::net {

namespace asio = boost::asio;

namespace {

using Kind = FdChannelError::Kind;

FdChannelError timed_out() { return {Kind::timed_out, "the other process does not answer"}; }

FdChannelError closed() { return {Kind::failed, "the channel to the other process is closed"}; }

// True when the socket is ready; false when the deadline has passed.
Result<bool> wait_until(int fd, short events, TimePoint deadline) {
    for (;;) {
        const Duration left = deadline == no_deadline ? never : deadline - SteadyClock().now();
        if (left <= Duration::zero()) return false;
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(
            std::min<Duration>(left, std::chrono::minutes(1)));
        pollfd watched{fd, events, 0};
        const int ready = ::poll(&watched, 1, static_cast<int>(ms.count()));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return unexpected_errno();
    }
}

// Steps until the frame is complete.
template <typename Frame>
std::expected<void, FdChannelError> complete(Frame& frame, int fd, short events,
                                             TimePoint deadline) {
    for (;;) {
        auto done = frame.step(fd);
        if (!done) return std::unexpected(std::move(done.error()));
        if (*done) return {};
        const auto ready = wait_until(fd, events, deadline);
        if (!ready) return std::unexpected(FdChannelError{Kind::failed, ready.error().message()});
        if (!*ready) return std::unexpected(timed_out());
    }
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> make_fd_channel() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return unexpected_errno();
    return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

std::expected<void, FdChannelError> BlockingFdChannel::send(std::string_view bytes,
                                                            const std::vector<int>& fds,
                                                            TimePoint deadline) {
    FdFrameWriter writer(bytes, fds);
    return complete(writer, fd_.get(), POLLOUT, deadline);
}

std::expected<FdMessage, FdChannelError> BlockingFdChannel::receive(TimePoint deadline) {
    if (auto done = complete(reader_, fd_.get(), POLLIN, deadline); !done)
        return std::unexpected(std::move(done.error()));
    return reader_.take();
}

// Held by the coroutines too: they may resume when the channel is gone.
struct FdChannel::State : std::enable_shared_from_this<State> {
    using Executor = asio::io_context::executor_type;
    using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
    using Timer =
        asio::basic_waitable_timer<std::chrono::steady_clock,
                                   asio::wait_traits<std::chrono::steady_clock>, Executor>;

    State(asio::io_context& context, UniqueFd fd, const FdLimits& limits)
        : descriptor(context, fd.release()),
          send_timer(context),
          receive_timer(context),
          turn(context),
          reader(limits) {
        turn.expires_at(to_asio(no_deadline));
    }

    void close() {
        // Asio's own close() leaves the descriptor in its epoll set: another process may hold it.
        if (descriptor.is_open()) ::close(descriptor.release());
        send_timer.cancel();
        receive_timer.cancel();
        turn.cancel();
    }

    Descriptor descriptor;
    Timer send_timer;
    Timer receive_timer;
    Timer turn;  // cancelled when a sender is done
    FdFrameReader reader;
    bool sending = false;
    std::optional<FdChannelError> broken;  // of sending

    using Ptr = std::shared_ptr<State>;
    using Sent = std::expected<void, FdChannelError>;
    using Received = std::expected<FdMessage, FdChannelError>;
    static asio::awaitable<Sent> send(Ptr self, std::string bytes, std::vector<int> fds,
                                      TimePoint deadline);
    static asio::awaitable<Received> receive(Ptr self, TimePoint deadline);

private:
    // Of a coroutine that holds the state.
    asio::awaitable<Sent> write(FdFrameWriter& writer, TimePoint deadline);
    asio::awaitable<bool> wait(Descriptor::wait_type what, Timer& timer, TimePoint deadline);
    asio::awaitable<bool> wait_for_turn(TimePoint deadline);
};

// False when the deadline has passed. It may return early: a time-out of the other direction wakes
// both.
asio::awaitable<bool> FdChannel::State::wait(Descriptor::wait_type what, Timer& timer,
                                             TimePoint deadline) {
    if (deadline != no_deadline) {
        if (SteadyClock().now() >= deadline) co_return false;
        timer.expires_at(to_asio(deadline));
        timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
            boost::system::error_code ignored;
            if (const auto self = weak.lock(); self && !error && self->descriptor.is_open())
                self->descriptor.cancel(ignored);
        });
    }
    co_await descriptor.async_wait(what, as_result);
    if (deadline != no_deadline) timer.cancel();
    co_return true;
}

// False when the deadline has passed. It may return early: whoever is done wakes all who wait.
asio::awaitable<bool> FdChannel::State::wait_for_turn(TimePoint deadline) {
    if (SteadyClock().now() >= deadline) co_return false;
    Timer limit(descriptor.get_executor());
    if (deadline != no_deadline) {
        limit.expires_at(to_asio(deadline));
        limit.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
            if (const auto self = weak.lock(); self && !error) self->turn.cancel();
        });
    }
    co_await turn.async_wait(as_result);
    co_return true;
}

asio::awaitable<FdChannel::State::Sent> FdChannel::State::send(Ptr self, std::string bytes,
                                                               std::vector<int> fds,
                                                               TimePoint deadline) {
    while (self->sending) {
        const bool in_time = co_await self->wait_for_turn(deadline);
        if (!in_time) co_return std::unexpected(timed_out());
    }
    if (self->broken) co_return std::unexpected(*self->broken);
    self->sending = true;
    FdFrameWriter writer(bytes, fds);
    penstock::wipe(bytes.data(), bytes.size());
    auto result = co_await self->write(writer, deadline);
    if (!result && (writer.begun() || result.error().kind != Kind::timed_out))
        self->broken = result.error();
    self->sending = false;
    self->turn.cancel();
    co_return result;
}

asio::awaitable<FdChannel::State::Sent> FdChannel::State::write(FdFrameWriter& writer,
                                                                TimePoint deadline) {
    for (;;) {
        if (!descriptor.is_open()) co_return std::unexpected(closed());
        auto done = writer.step(descriptor.native_handle());
        if (!done) co_return std::unexpected(std::move(done.error()));
        if (*done) co_return Sent{};
        const bool in_time = co_await wait(Descriptor::wait_write, send_timer, deadline);
        if (!in_time) co_return std::unexpected(timed_out());
    }
}

asio::awaitable<FdChannel::State::Received> FdChannel::State::receive(Ptr self,
                                                                      TimePoint deadline) {
    for (;;) {
        if (!self->descriptor.is_open()) co_return std::unexpected(closed());
        auto done = self->reader.step(self->descriptor.native_handle());
        if (!done) co_return std::unexpected(std::move(done.error()));
        if (*done) co_return self->reader.take();
        const bool in_time =
            co_await self->wait(Descriptor::wait_read, self->receive_timer, deadline);
        if (!in_time) co_return std::unexpected(timed_out());
    }
}

FdChannel::FdChannel(asio::io_context& context, UniqueFd fd, const FdLimits& limits)
    : state_(std::make_shared<State>(context, std::move(fd), limits)) {}

FdChannel::~FdChannel() {
    if (state_) state_->close();
}

asio::awaitable<std::expected<void, FdChannelError>> FdChannel::send(std::string bytes,
                                                                     std::vector<int> fds,
                                                                     TimePoint deadline) {
    return State::send(state_, std::move(bytes), std::move(fds), deadline);
}

asio::awaitable<std::expected<FdMessage, FdChannelError>> FdChannel::receive(TimePoint deadline) {
    return State::receive(state_, deadline);
}

void FdChannel::close() { state_->close(); }

void FdChannel::end_reading() noexcept {
    if (state_->descriptor.is_open()) ::shutdown(state_->descriptor.native_handle(), SHUT_RD);
}

UniqueFd FdChannel::duplicate() const noexcept {
    if (!state_->descriptor.is_open()) return UniqueFd();
    return UniqueFd(::fcntl(state_->descriptor.native_handle(), F_DUPFD_CLOEXEC, 0));
}

}  // namespace penstock::net
