#include "tests/support/counting_backend.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace penstock::test {

namespace {

bool is_established(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state == TCP_ESTABLISHED;
}

}  // namespace

CountingBackend::CountingBackend(const std::string& address)
    : backend_([this](Socket& socket, const ChaosBackend& backend) { serve(socket, backend); },
               address) {}

std::size_t CountingBackend::open() {
    const std::scoped_lock lock(mutex_);
    return count_open();
}

std::size_t CountingBackend::count_open() {
    return static_cast<std::size_t>(std::ranges::count_if(sockets_, is_established));
}

void CountingBackend::serve(Socket& socket, const ChaosBackend& backend) {
    {
        const std::scoped_lock lock(mutex_);
        sockets_.insert(socket.fd());
        peak_ = std::max(peak_.load(), count_open());
    }
    scripts::echo()(socket, backend);
    const std::scoped_lock lock(mutex_);
    sockets_.erase(socket.fd());
    socket.close();
}

}  // namespace penstock::test
