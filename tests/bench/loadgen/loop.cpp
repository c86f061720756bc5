#include "tests/bench/loadgen/loop.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace penstock::bench {

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

void Loop::add(int fd, Handler& handler, std::uint32_t interest) {
    control(EPOLL_CTL_ADD, fd, &handler, interest);
}

void Loop::change(int fd, Handler& handler, std::uint32_t interest) {
    control(EPOLL_CTL_MOD, fd, &handler, interest);
}

void Loop::remove(int fd) { control(EPOLL_CTL_DEL, fd, nullptr, 0); }

void Loop::control(int operation, int fd, Handler* handler, std::uint32_t interest) {
    epoll_event event{};
    event.events = interest;
    event.data.ptr = handler;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

void Loop::turn(Clock::time_point deadline) {
    using std::chrono::ceil;
    using std::chrono::milliseconds;
    const auto left = ceil<milliseconds>(deadline - Clock::now());
    const auto wait = std::clamp(left, milliseconds(0), milliseconds(1000));
    const int n = ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                               static_cast<int>(wait.count()));
    for (int i = 0; i < n; ++i) {
        const auto& event = events_[static_cast<std::size_t>(i)];
        static_cast<Handler*>(event.data.ptr)->on_ready(event.events);
    }
}

}  // namespace penstock::bench
