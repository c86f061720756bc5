#include "net/poller.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>

namespace penstock::net {

namespace {

int to_epoll_timeout(Duration timeout) noexcept {
    if (timeout == never) return -1;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    return static_cast<int>(std::clamp<std::int64_t>(ms, 0, std::numeric_limits<int>::max()));
}

}  // namespace

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) throw std::system_error(last_error(), "epoll_create1");
    hangups_.reserve(max_batch);
}

std::error_code Poller::add(Watch& watch, std::uint32_t events) noexcept {
    epoll_event event{events, {.ptr = &watch}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watch.fd(), &event) != 0) return last_error();
    return {};
}

void Poller::modify(Watch& watch, std::uint32_t events) noexcept {
    epoll_event event{events, {.ptr = &watch}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, watch.fd(), &event);
}

std::error_code Poller::reassign(Watch& watch, std::uint32_t events) noexcept {
    epoll_event event{events, {.ptr = &watch}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, watch.fd(), &event) != 0) return last_error();
    return {};
}

void Poller::remove(Watch& watch) noexcept {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch.fd(), nullptr);
}

std::error_code Poller::add_wake_up(int fd) noexcept {
    epoll_event event{EPOLLIN | EPOLLET, {.ptr = nullptr}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return last_error();
    return {};
}

int Poller::wait(Duration timeout) {
    int count = ::epoll_wait(epoll_.get(), events_, max_batch,
                             ready_.empty() ? to_epoll_timeout(timeout) : 0);
    // A process that was stopped and goes on gets this, without any handler: what has arrived in
    // the meantime must still be seen before somebody is timed out for not having sent it.
    while (count < 0 && errno == EINTR) count = ::epoll_wait(epoll_.get(), events_, max_batch, 0);
    for (int i = 0; i < count; ++i)
        if (auto* watch = static_cast<Watch*>(events_[i].data.ptr); watch != nullptr)
            dispatch(*watch, events_[i].events);
    // Only now: a handler may close descriptors, and no event of this batch may come after that.
    for (auto* watch : hangups_) {
        watch->hangup_queued_ = false;
        if (watch->is_open() && watch->hangup_handler_ != nullptr)
            watch->hangup_handler_->on_hangup(*watch);
    }
    hangups_.clear();
    return std::max(count, 0);
}

void Poller::dispatch(Watch& watch, std::uint32_t events) {
    constexpr std::uint32_t hangup = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    watch.seen_ |= events & (hangup | EPOLLPRI);
    if (events & (EPOLLIN | EPOLLPRI | hangup)) watch.readable.set(ready_);
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) watch.writable.set(ready_);
    if ((events & hangup) != 0 && !watch.hangup_queued_) {
        watch.hangup_queued_ = true;
        hangups_.push_back(&watch);
    }
}

}  // namespace penstock::net
