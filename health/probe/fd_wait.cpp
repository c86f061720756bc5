#include "health/probe/fd_wait.hpp"

#include <fcntl.h>

#include "net/asio_words.hpp"

namespace penstock::health {

namespace asio = boost::asio;

FdWait::FdWait(asio::io_context& context, TimePoint deadline)
    : context_(context), deadline_(context, deadline, [this] {
          if (waiting_ != nullptr) waiting_->cancel();
      }) {}

asio::awaitable<bool> FdWait::wait(int fd, For what) {
    if (expired()) co_return false;
    const int duplicate = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) co_return false;
    Descriptor descriptor(context_, duplicate);
    waiting_ = &descriptor;
    const auto direction = what == For::reading ? Descriptor::wait_read : Descriptor::wait_write;
    const auto [error] = co_await descriptor.async_wait(direction, net::as_result);
    waiting_ = nullptr;
    co_return !error && !expired();
}

}  // namespace penstock::health
