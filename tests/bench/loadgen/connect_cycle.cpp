#include "tests/bench/loadgen/connect_cycle.hpp"

#include <algorithm>

#include "tests/bench/loadgen/wire.hpp"

namespace penstock::bench {

class ConnectCycles::Slot final : public Handler {
public:
    explicit Slot(ConnectCycles& owner) : owner_(owner) {}

    // Ends the slot when the proxy cannot be reached at all: repeating that would only spin.
    void begin() {
        tag_ = static_cast<std::uint32_t>(owner_.started_++);
        sent_ = false;
        answer_.clear();
        begun_ = Clock::now();
        channel_ = Channel(start_connect(owner_.load_.target, tag_), owner_.load_.tls, session_);
        if (!channel_) {
            ++owner_.measurement_.errors.connect;
            --owner_.active_;
            return;
        }
        // Over loopback the handshake is mostly complete by now: then the message leaves at once.
        const auto result = try_send();
        if (result == Transfer::State::failed) return fail(&Errors::connect, false);
        owner_.loop_.add(channel_.fd(), *this, interest());
    }

    void on_ready(std::uint32_t events) override {
        if (!sent_) {
            if (try_send() == Transfer::State::failed) return fail(&Errors::connect, true);
            owner_.loop_.change(channel_.fd(), *this, interest());
        }
        if (sent_ && (events & ~EPOLLOUT) != 0) receive_all();
    }

private:
    [[nodiscard]] std::uint32_t interest() const { return sent_ ? EPOLLIN : channel_.awaited(); }

    Transfer::State try_send() {
        const auto state = channel_.establish();
        if (state != Transfer::State::done) {
            return state == Transfer::State::ended ? Transfer::State::failed : state;
        }
        const auto message = std::span(owner_.scratch_).first(owner_.load_.size);
        write_message(message, Service::echo_once, tag_);
        const auto result = channel_.transmit(message);
        sent_ = result.bytes == message.size();
        // A fresh connection takes a whole message or nothing: size is bounded by the command line.
        return result.bytes != 0 && !sent_ ? Transfer::State::failed : result.state;
    }

    void receive_all() {
        for (;;) {
            const auto result = channel_.receive(owner_.scratch_);
            switch (result.state) {
                case Transfer::State::would_block: return;
                case Transfer::State::failed:
                    return fail(sent_ ? &Errors::broken : &Errors::connect, true);
                case Transfer::State::ended: return conclude();
                case Transfer::State::done: break;
            }
            const auto piece = std::span<const std::byte>(owner_.scratch_).first(result.bytes);
            answer_.insert(answer_.end(), piece.begin(), piece.end());
            if (answer_.size() > owner_.load_.size) return fail(&Errors::mismatch, true);
        }
    }

    void conclude() {
        if (answer_.size() < owner_.load_.size) return fail(&Errors::early_end, true);
        if (!is_message(answer_, Service::echo_once, tag_)) return fail(&Errors::mismatch, true);
        owner_.measurement_.operation(begun_, Clock::now());
        owner_.measurement_.bytes(answer_.size());
        if (channel_.resumed() != static_cast<bool>(session_)) ++owner_.measurement_.errors.session;
        if (owner_.load_.resume && !renew_session()) ++owner_.measurement_.errors.session;
        again();
    }

    // A ticket of TLS 1.3 is meant to be used once.
    bool renew_session() {
        session_ = channel_.take_session();
        return session_ != nullptr;
    }

    void fail(std::uint64_t Errors::* kind, bool established) {
        ++(owner_.measurement_.errors.*kind);
        if (established) return again();
        channel_.close();
        --owner_.active_;
    }

    void again() {
        channel_.close();
        if (owner_.running_) return begin();
        --owner_.active_;
    }

    ConnectCycles& owner_;
    Channel channel_;
    TlsSession session_;  // to resume next
    std::uint32_t tag_ = 0;
    bool sent_ = false;
    Clock::time_point begun_;
    std::vector<std::byte> answer_;
};

ConnectCycles::ConnectCycles(Loop& loop, const Load& load, Measurement& measurement)
    : loop_(loop), load_(load), measurement_(measurement), scratch_(max_piece) {
    for (unsigned i = 0; i < load.connections; ++i) slots_.push_back(std::make_unique<Slot>(*this));
}

ConnectCycles::~ConnectCycles() = default;

void ConnectCycles::start() {
    running_ = true;
    active_ = slots_.size();
    for (const auto& slot : slots_) slot->begin();
}

}  // namespace penstock::bench
