#include "tests/support/chaos_backend.hpp"

#include <poll.h>

#include <cerrno>
#include <vector>

namespace penstock::test {

ChaosBackend::ChaosBackend(Script script, const std::string& address, int backlog)
    : script_(std::move(script)),
      backlog_(backlog),
      listener_(listen_on(Address::parse(address), backlog)) {
    address_ = Address::local_of(listener_.get());
    acceptor_ = std::thread([this] { accept_loop(); });
}

ChaosBackend::~ChaosBackend() {
    stopping_ = true;
    accepting_ = false;
    if (acceptor_.joinable()) acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
}

void ChaosBackend::stop_listening() {
    accepting_ = false;
    acceptor_.join();
    listener_.close();
}

void ChaosBackend::start_listening() {
    listener_ = listen_on(address_, backlog_);
    accepting_ = true;
    acceptor_ = std::thread([this] { accept_loop(); });
}

void ChaosBackend::hold() const {
    wait_for([this] { return stopping_.load(); }, std::chrono::hours(1));
}

End ChaosBackend::wait_end(Socket& socket) const {
    End end = End::open;
    while (end == End::open && !stopping_) end = socket.wait_end(20ms);
    return end;
}

void ChaosBackend::accept_loop() {
    while (accepting_) {
        if (!wait_ready(listener_.get(), POLLIN, Clock::now() + 20ms)) continue;
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) continue;
        ++accepted_;
        threads_.emplace_back([this, socket = Socket(std::move(fd))]() mutable {
            script_(socket, *this);
            ++finished_;
        });
    }
}

namespace scripts {

ChaosBackend::Script echo() {
    return [](Socket& socket, const ChaosBackend& backend) {
        std::vector<std::byte> buffer(65536);
        while (!backend.stopping()) {
            const auto n = socket.receive(buffer, 20ms);
            if (n == -ETIMEDOUT) continue;
            if (n <= 0) break;
            if (!socket.send(std::span(buffer).first(static_cast<std::size_t>(n)))) break;
        }
    };
}

ChaosBackend::Script hang() {
    return [](Socket&, const ChaosBackend& backend) { backend.hold(); };
}

ChaosBackend::Script reset_at_once() {
    return [](Socket& socket, const ChaosBackend&) { socket.reset(); };
}

ChaosBackend::Script close_at_once() {
    return [](Socket& socket, const ChaosBackend&) { socket.close(); };
}

ChaosBackend::Script reset_after(std::uint64_t bytes) {
    return [bytes](Socket& socket, const ChaosBackend&) {
        socket.receive_text(bytes);
        socket.reset();
    };
}

ChaosBackend::Script greet(std::string greeting) {
    return [greeting = std::move(greeting)](Socket& socket, const ChaosBackend& backend) {
        if (socket.send(greeting)) echo()(socket, backend);
    };
}

ChaosBackend::Script keyed(Ledger& ledger, Plan plan, bool linger) {
    return [&ledger, plan, linger](Socket& socket, const ChaosBackend& backend) {
        const auto id = accept_id(socket, ledger);
        if (!id) return;
        exchange(socket, *id, Role::backend, ledger, plan);
        if (linger) backend.hold();
    };
}

}  // namespace scripts

FullBacklog::FullBacklog(const std::string& address)
    : listener_(listen_on(Address::parse(address), 0)) {
    const Address to = Address::local_of(listener_.get());
    // A queue of length 0 takes one connection, then SYNs are dropped (unix: EAGAIN). The fillers
    // that are not answered stay in the connecting state.
    for (int i = 0; i < 4; ++i) {
        UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        ::connect(fd.get(), to.data(), to.size());
        const milliseconds limit = i == 0 ? scaled(patience) : 20ms;
        wait_ready(fd.get(), POLLOUT, Clock::now() + limit);
        fillers_.push_back(std::move(fd));
    }
}

std::list<Socket> FullBacklog::drain() {
    std::list<Socket> accepted;
    for (;;) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return accepted;
        accepted.emplace_back(std::move(fd));
    }
}

}  // namespace penstock::test
