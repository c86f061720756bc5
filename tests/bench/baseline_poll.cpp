// A relay with one poll(2) loop for all connections: the event-driven textbook relay, whose every
// turn costs in proportion to the number of connections.
//
//   penstock_baseline_poll LISTEN_PORT BACKEND_PORT
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "tests/bench/baseline.hpp"

using namespace penstock::bench;

namespace {

/// One direction's bytes that the other side did not take yet.
struct Pending {
    std::array<char, 16 * 1024> data;
    std::size_t begin = 0, end = 0;
    bool source_ended = false;
    bool finished = false;  // the end was passed on

    [[nodiscard]] bool empty() const { return begin == end; }
};

/// A client (side 0) and its backend (side 1); pending[i] holds what came from side i.
struct Pair {
    std::array<UniqueFd, 2> sides;
    std::array<Pending, 2> pending;
};

short interest(const Pair& pair, std::size_t side) {
    const auto& incoming = pair.pending[side];
    const auto& outgoing = pair.pending[1 - side];
    int events = 0;
    if (incoming.empty() && !incoming.source_ended) events |= POLLIN;
    if (!outgoing.empty()) events |= POLLOUT;
    return static_cast<short>(events);
}

// False when the pair has failed.
bool flush(Pair& pair, std::size_t from) {
    auto& pending = pair.pending[from];
    const int to = pair.sides[1 - from].get();
    while (!pending.empty()) {
        const ssize_t n = ::send(to, pending.data.data() + pending.begin,
                                 pending.end - pending.begin, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        pending.begin += static_cast<std::size_t>(n);
    }
    if (pending.source_ended && !pending.finished) {
        pending.finished = true;
        ::shutdown(to, SHUT_WR);
    }
    return true;
}

bool fill(Pair& pair, std::size_t from) {
    auto& pending = pair.pending[from];
    const ssize_t n = ::recv(pair.sides[from].get(), pending.data.data(), pending.data.size(), 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) pending.source_ended = true;
    pending.begin = 0;
    pending.end = static_cast<std::size_t>(n);
    return flush(pair, from);
}

// False when the pair is over.
bool serve(Pair& pair, std::size_t side, short events) {
    if ((events & POLLOUT) != 0 && !flush(pair, 1 - side)) return false;
    auto& incoming = pair.pending[side];
    if ((events & ~POLLOUT) != 0 && incoming.empty() && !incoming.source_ended) {
        if (!fill(pair, side)) return false;
    }
    return !(pair.pending[0].finished && pair.pending[1].finished);
}

class Relay {
public:
    explicit Relay(BaselinePorts ports)
        : backend_port_(ports.backend), listener_(baseline_listener(ports.listen)) {
        make_non_blocking(listener_.get());
    }

    void turn() {
        watched_.assign(1, {listener_.get(), POLLIN, 0});
        for (const auto& pair : pairs_) {
            for (std::size_t side = 0; side < 2; ++side) {
                const short events = interest(*pair, side);
                // A side that waits for nothing would report its hang-up again and again.
                watched_.push_back({events != 0 ? pair->sides[side].get() : -1, events, 0});
            }
        }
        if (::poll(watched_.data(), watched_.size(), -1) < 0) return;
        const std::size_t known = pairs_.size();
        if (watched_[0].revents != 0) accept_all();
        for (std::size_t i = 0; i < known; ++i) {
            for (std::size_t side = 0; side < 2 && pairs_[i]; ++side) {
                const short events = watched_[1 + 2 * i + side].revents;
                if (events != 0 && !serve(*pairs_[i], side, events)) pairs_[i].reset();
            }
        }
        std::erase(pairs_, nullptr);
    }

private:
    static void make_non_blocking(int fd) { ::fcntl(fd, F_SETFL, O_NONBLOCK); }

    void accept_all() {
        for (;;) {
            UniqueFd client(
                ::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!client) return;
            // Blocking, as textbooks do; over loopback it takes no time that would matter.
            UniqueFd backend = baseline_connect(backend_port_);
            if (!backend) continue;
            make_non_blocking(backend.get());
            auto pair = std::make_unique<Pair>();
            pair->sides = {std::move(client), std::move(backend)};
            pairs_.push_back(std::move(pair));
        }
    }

    std::uint16_t backend_port_;
    UniqueFd listener_;
    std::vector<std::unique_ptr<Pair>> pairs_;
    std::vector<pollfd> watched_;
};

}  // namespace

int main(int argc, char** argv) {
    Relay relay(parse_baseline_ports(argc, argv));
    for (;;) relay.turn();
}
