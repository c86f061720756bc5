#include "tests/support/echo_server.hpp"

#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace penstock::test {

namespace {
constexpr std::size_t pending_limit = 256 * 1024;  // above it nothing is read: back-pressure

void watch(int epoll, int fd, int operation, bool reading, bool writing) {
    epoll_event event{};
    event.events = (reading ? EPOLLIN : 0U) | (writing ? EPOLLOUT : 0U);
    event.data.fd = fd;
    ::epoll_ctl(epoll, operation, fd, &event);
}
}  // namespace

EchoLoop::EchoLoop(UniqueFd listener)
    : listener_(std::move(listener)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      address_(Address::local_of(listener_.get())) {
    watch(epoll_.get(), listener_.get(), EPOLL_CTL_ADD, true, false);
}

void EchoLoop::run(const std::atomic<bool>& stop) {
    std::array<epoll_event, 256> events;
    while (!stop) {
        const int n =
            ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 20);
        for (int i = 0; i < n; ++i) {
            const auto& event = events[static_cast<std::size_t>(i)];
            if (event.data.fd == listener_.get()) {
                accept_all();
            } else {
                serve(event.data.fd);
            }
        }
    }
}

void EchoLoop::accept_all() {
    for (;;) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return;
        ++accepted_;
        ++open_;
        const int number = fd.get();
        watch(epoll_.get(), number, EPOLL_CTL_ADD, true, false);
        connections_[number].fd = std::move(fd);
    }
}

void EchoLoop::serve(int fd) {
    const auto found = connections_.find(fd);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    if (!pump(connection)) {
        connections_.erase(found);
        --open_;
        return;
    }
    watch(epoll_.get(), fd, EPOLL_CTL_MOD,
          !connection.ended && connection.pending.size() < pending_limit,
          !connection.pending.empty());
}

bool EchoLoop::pump(Connection& connection) {
    const int fd = connection.fd.get();
    std::array<char, 65536> buffer;
    while (!connection.ended && connection.pending.size() < pending_limit) {
        const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return false;
        if (n == 0) connection.ended = true;
        connection.pending.append(buffer.data(), static_cast<std::size_t>(n));
    }
    while (!connection.pending.empty()) {
        const auto n =
            ::send(fd, connection.pending.data(), connection.pending.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return true;
        if (n < 0) return false;
        connection.pending.erase(0, static_cast<std::size_t>(n));
    }
    return !connection.ended;
}

EchoServer::EchoServer(const std::string& address)
    : loop_(listen_on(Address::parse(address), 4096)), thread_([this] { loop_.run(stop_); }) {}

EchoServer::~EchoServer() {
    stop_ = true;
    thread_.join();
}

}  // namespace penstock::test
