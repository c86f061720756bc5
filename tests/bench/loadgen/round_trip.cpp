#include "tests/bench/loadgen/round_trip.hpp"

#include <algorithm>

#include "tests/bench/loadgen/wire.hpp"

namespace penstock::bench {

namespace {
constexpr unsigned opening_at_once = 128;  // well below any proxy's backlog
}

class RoundTrips::Connection final : public Handler {
public:
    Connection(RoundTrips& owner, UniqueFd fd, std::uint32_t number)
        : owner_(owner), channel_(std::move(fd), owner.load_.tls), tag_(number << 16U) {
        owner_.loop_.add(channel_.fd(), *this, EPOLLIN | EPOLLOUT);
    }

    [[nodiscard]] bool alive() const { return static_cast<bool>(channel_); }
    void close() { channel_.close(); }

    void send_next() {
        ++tag_;
        started_ = Clock::now();
        sent_ = received_ = 0;
        busy_ = true;
        answer_.clear();
        transmit_rest();
    }

    void on_ready(std::uint32_t events) override {
        if (!connected_) {
            if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
                return owner_.on_failure(*this, &Errors::connect);
            }
            const auto state = channel_.establish();
            if (state == Transfer::State::would_block) {
                return owner_.loop_.change(channel_.fd(), *this, channel_.awaited());
            }
            if (state != Transfer::State::done) return owner_.on_failure(*this, &Errors::connect);
            connected_ = true;
            owner_.loop_.change(channel_.fd(), *this, EPOLLIN);
            return send_next();
        }
        if ((events & EPOLLOUT) != 0) {
            if (!transmit_rest()) return;
        }
        if ((events & ~EPOLLOUT) != 0) receive_some();
    }

    bool busy() const { return busy_; }

private:
    // False when the connection failed.
    bool transmit_rest() {
        const auto message = std::span(owner_.scratch_).first(owner_.load_.size);
        write_message(message, Service::echo, tag_);
        const bool was_blocked = blocked_;
        const auto result = channel_.transmit(message.subspan(sent_));
        if (result.state == Transfer::State::failed) {
            owner_.on_failure(*this, &Errors::broken);
            return false;
        }
        sent_ += result.bytes;
        blocked_ = sent_ < message.size();
        if (blocked_ != was_blocked) {
            owner_.loop_.change(channel_.fd(), *this, blocked_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        return true;
    }

    void receive_some() {
        const auto result = channel_.receive(owner_.scratch_);
        switch (result.state) {
            case Transfer::State::would_block: return;
            case Transfer::State::ended: return owner_.on_failure(*this, &Errors::early_end);
            case Transfer::State::failed: return owner_.on_failure(*this, &Errors::broken);
            case Transfer::State::done: break;
        }
        received_ += result.bytes;
        if (!busy_ || received_ > owner_.load_.size) {
            return owner_.on_failure(*this, &Errors::mismatch);
        }
        const auto piece = std::span<const std::byte>(owner_.scratch_).first(result.bytes);
        if (received_ < owner_.load_.size || !answer_.empty()) {
            answer_.insert(answer_.end(), piece.begin(), piece.end());
        }
        if (received_ < owner_.load_.size) return;
        const auto whole = answer_.empty() ? piece : std::span<const std::byte>(answer_);
        if (!is_message(whole, Service::echo, tag_)) {
            return owner_.on_failure(*this, &Errors::mismatch);
        }
        busy_ = false;
        owner_.on_answer(*this, started_);
    }

    RoundTrips& owner_;
    Channel channel_;
    std::uint32_t tag_;
    Clock::time_point started_;
    std::size_t sent_ = 0;
    std::size_t received_ = 0;
    std::vector<std::byte> answer_;  // only what came in more than one piece
    bool connected_ = false;
    bool blocked_ = false;
    bool busy_ = true;
};

RoundTrips::RoundTrips(Loop& loop, const Load& load, Measurement& measurement)
    : loop_(loop),
      load_(load),
      measurement_(measurement),
      scratch_(max_piece),
      target_(load.connections) {
    connections_.reserve(target_);
    for (unsigned i = 0; i < std::min(target_, opening_at_once); ++i) open_next();
}

RoundTrips::~RoundTrips() = default;

void RoundTrips::open_next() {
    while (opened_ < target_) {
        const unsigned number = opened_++;
        auto fd = start_connect(load_.target, number);
        if (fd) {
            ++busy_;
            connections_.push_back(std::make_unique<Connection>(*this, std::move(fd), number));
            return;
        }
        ++measurement_.errors.connect;
    }
}

void RoundTrips::start() {
    running_ = true;
    for (const auto& connection : connections_) {
        if (!connection->alive()) continue;
        ++busy_;
        connection->send_next();
    }
}

void RoundTrips::on_answer(Connection& connection, Clock::time_point started) {
    measurement_.operation(started, Clock::now());
    measurement_.bytes(load_.size);
    if (running_) return connection.send_next();
    --busy_;
    open_next();
}

void RoundTrips::on_failure(Connection& connection, std::uint64_t Errors::* kind) {
    ++(measurement_.errors.*kind);
    if (connection.busy()) --busy_;
    connection.close();
    open_next();
}

}  // namespace penstock::bench
