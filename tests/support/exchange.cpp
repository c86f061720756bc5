#include "tests/support/exchange.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace penstock::test {

namespace {

SideRecord& side_of(ConnectionRecord& record, Role role) {
    return role == Role::client ? record.client : record.backend;
}

/// One side at work: a poll loop over both directions.
class Player {
public:
    Player(Socket& socket, const ConnectionId& id, Role role, Ledger& ledger, const Plan& plan)
        : socket_(socket),
          plan_(plan),
          outgoing_(id, role == Role::client ? Direction::to_backend : Direction::to_client),
          verifier_({id, role == Role::client ? Direction::to_client : Direction::to_backend},
                    &ledger.streams()),
          deadline_(Clock::now() + scaled(plan.deadline)) {
        if (role == Role::backend) verifier_.feed(id.bytes);
        done_.present = true;
        buffer_.resize(std::max(plan.send_chunk, plan.receive_chunk));
    }

    bool run() {
        bool good = true;
        while (good && !finished()) good = turn();
        return good && !send_failed_;
    }

    /// Adds what was done to the side's record (a connection may be played in several parts).
    void book(SideRecord& side) const {
        side.present = true;
        side.sent += done_.sent;
        side.received += verifier_.received();
        side.sent_fin |= done_.sent_fin;
        side.sent_reset |= done_.sent_reset;
        if (side.saw == End::open) side.saw = done_.saw;
        if (!side.mismatch) side.mismatch = verifier_.mismatch();
    }

private:
    [[nodiscard]] bool sending_over() const {
        if (send_failed_) return true;
        return done_.sent == plan_.send &&
               (plan_.after_send != Plan::Then::finish || done_.sent_fin);
    }
    [[nodiscard]] bool may_send() const {
        return !sending_over() && (!plan_.send_after_end || done_.saw == End::fin);
    }
    [[nodiscard]] bool may_receive() const {
        return plan_.receive && done_.saw == End::open && Clock::now() >= pause_until_ &&
               (!plan_.receive_after_send || sending_over());
    }
    [[nodiscard]] bool receiving_over() const {
        return !plan_.receive || done_.saw != End::open ||
               (plan_.stop_at && verifier_.received() >= *plan_.stop_at);
    }
    [[nodiscard]] bool finished() const {
        return done_.sent_reset || (sending_over() && receiving_over());
    }

    /// One round; false on failure or when the time is over.
    bool turn() {
        if (Clock::now() >= deadline_) return false;
        if (may_send() && done_.sent == plan_.send) return end_sending();
        short flags = 0;
        if (may_send()) flags |= POLLOUT;
        if (may_receive()) flags |= POLLIN;
        auto until = deadline_;
        if (pause_until_ > Clock::now()) until = std::min(until, pause_until_);
        if (!wait_ready(socket_.fd(), flags, until)) return true;
        if (flags & POLLIN) return receive_some() && (!(flags & POLLOUT) || send_some());
        return !(flags & POLLOUT) || send_some();
    }

    bool end_sending() {
        if (plan_.after_send == Plan::Then::finish) {
            socket_.finish();
            done_.sent_fin = true;
        }
        return true;
    }

    bool send_some() {
        if (done_.sent_reset || done_.sent == plan_.send) return true;
        const auto count = static_cast<std::size_t>(
            std::min<std::uint64_t>(plan_.send_chunk, plan_.send - done_.sent));
        const auto bytes = std::span(buffer_).first(count);
        outgoing_.fill(done_.sent, bytes);
        const auto n = socket_.try_send(bytes);
        // Nothing more goes out, but what arrived before the error, and the error, are still read.
        if (n < 0 && n != -EAGAIN) send_failed_ = true;
        if (n > 0) done_.sent += static_cast<std::uint64_t>(n);
        if (done_.sent == plan_.send && plan_.after_send == Plan::Then::reset) reset();
        return true;
    }

    bool receive_some() {
        std::size_t count = plan_.receive_chunk;
        if (plan_.stop_at)
            count = static_cast<std::size_t>(
                std::min<std::uint64_t>(count, *plan_.stop_at - verifier_.received()));
        const auto n = socket_.try_receive(std::span(buffer_).first(count));
        if (n == -EAGAIN) return true;
        if (n <= 0) {
            done_.saw = end_of(n);
            return done_.saw == End::fin;
        }
        verifier_.feed(std::span(buffer_).first(static_cast<std::size_t>(n)));
        if (plan_.reset_at && verifier_.received() >= *plan_.reset_at) reset();
        if (plan_.receive_pause > 0ms) pause_until_ = Clock::now() + plan_.receive_pause;
        return true;
    }

    void reset() {
        socket_.reset();
        done_.sent_reset = true;
    }

    Socket& socket_;
    const Plan& plan_;
    KeyedStream outgoing_;
    StreamVerifier verifier_;
    Clock::time_point deadline_;
    Clock::time_point pause_until_{};
    SideRecord done_;
    bool send_failed_ = false;
    std::vector<std::byte> buffer_;
};

}  // namespace

bool exchange(Socket& socket, const ConnectionId& id, Role role, Ledger& ledger, const Plan& plan) {
    Player player(socket, id, role, ledger, plan);
    const bool good = player.run();
    ledger.update(id, [&](ConnectionRecord& record) { player.book(side_of(record, role)); });
    return good;
}

ConnectionId run_client(const Address& proxy, Ledger& ledger, const Plan& plan,
                        const SocketOptions& options, Socket* keep) {
    const ConnectionId id = ledger.open();
    auto socket = Socket::connect(proxy, options);
    if (!socket) {
        return id;  // without an address in the ledger: it never was
    }
    const std::string address = proxy.is_unix() ? "unix:" : socket->local().text();
    ledger.update(id, [&](ConnectionRecord& record) {
        record.client_address = address;
        record.proxy_address = proxy.text();
    });
    exchange(*socket, id, Role::client, ledger, plan);
    if (keep) *keep = std::move(*socket);
    return id;
}

std::optional<ConnectionId> accept_id(Socket& socket, Ledger& ledger, milliseconds limit) {
    ConnectionId id;
    const std::string head = socket.receive_text(ConnectionId::size, limit);
    if (head.size() != ConnectionId::size) return std::nullopt;
    std::ranges::transform(head, id.bytes.begin(), [](char c) { return std::byte(c); });
    ledger.update(id, [](ConnectionRecord& record) {
        record.backend.present = true;
        ++record.backend_connections;
    });
    return id;
}

}  // namespace penstock::test
