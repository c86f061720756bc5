#include "tests/bench/loadgen/serve.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/bench/loadgen/wire.hpp"

namespace penstock::bench {

class Backend::Connection final : public Handler {
public:
    Connection(Backend& owner, UniqueFd fd) : owner_(owner), fd_(std::move(fd)) {
        owner_.loop_.add(fd_.get(), *this, EPOLLIN);
    }

    // May destroy this connection.
    void on_ready(std::uint32_t events) override {
        bool alive = true;
        if ((events & EPOLLOUT) != 0) alive = write_pending();
        if (alive && (events & ~EPOLLOUT) != 0) alive = read_some();
        if (!alive) owner_.release(fd_.get());
    }

private:
    // The functions below tell whether the connection goes on.

    bool read_some() {
        const auto result = receive(fd_.get(), owner_.scratch_);
        if (result.state == Transfer::State::would_block) return true;
        if (result.state != Transfer::State::done) return false;
        const auto bytes = std::span<const std::byte>(owner_.scratch_).first(result.bytes);
        if (service_) return serve(bytes);
        hello_.insert(hello_.end(), bytes.begin(), bytes.end());
        return hello_.size() < sizeof(Header) || introduce();
    }

    bool introduce() {
        const auto header = read_header(hello_);
        if (!header) {
            ++owner_.errors_;
            return false;
        }
        service_ = header->service;
        message_size_ = header->size;
        position_ = stream_start(header->tag);
        const bool echoing = *service_ == Service::echo || *service_ == Service::echo_once;
        const auto first = std::exchange(hello_, {});
        const auto rest = std::span(first).subspan(echoing ? 0 : sizeof(Header));
        return rest.empty() || serve(rest);
    }

    bool serve(std::span<const std::byte> bytes) {
        switch (*service_) {
            case Service::echo:
            case Service::echo_once: return echo(bytes);
            case Service::source: budget_ += bytes.size() * bulk_unit; return write_pending();
            case Service::sink: return sink(bytes);
        }
        ++owner_.errors_;
        return false;
    }

    bool echo(std::span<const std::byte> bytes) {
        received_ += bytes.size();
        std::size_t sent = 0;
        if (pending_.empty()) {
            const auto result = transmit(fd_.get(), bytes);
            if (result.state == Transfer::State::failed) return false;
            sent = result.bytes;
        }
        pending_.insert(pending_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(sent),
                        bytes.end());
        set_blocked(!pending_.empty());
        return !(pending_.empty() && concluded());
    }

    bool sink(std::span<const std::byte> bytes) {
        const auto expected = pattern_at(position_, bytes.size());
        if (std::memcmp(bytes.data(), expected.data(), bytes.size()) != 0) {
            ++mismatches_;
            ++owner_.errors_;
        }
        position_ += bytes.size();
        const std::uint64_t units_before = received_ / bulk_unit;
        received_ += bytes.size();
        for (std::uint64_t unit = units_before + 1; unit <= received_ / bulk_unit; ++unit) {
            const Acknowledgement answer{unit * bulk_unit, mismatches_};
            const auto raw = std::as_bytes(std::span(&answer, 1));
            // At most one in flight per unit: it always fits into the send buffer.
            if (transmit(fd_.get(), raw).bytes != raw.size()) return false;
        }
        return true;
    }

    bool write_pending() {
        const bool sourcing = service_ == Service::source;
        const auto bytes = sourcing
                               ? pattern_at(position_, std::min<std::uint64_t>(budget_, max_piece))
                               : std::span<const std::byte>(pending_);
        if (!bytes.empty()) {
            const auto result = transmit(fd_.get(), bytes);
            if (result.state == Transfer::State::failed) return false;
            if (sourcing) {
                position_ += result.bytes;
                budget_ -= result.bytes;
            } else {
                pending_.erase(pending_.begin(),
                               pending_.begin() + static_cast<std::ptrdiff_t>(result.bytes));
            }
        }
        set_blocked(sourcing ? budget_ > 0 : !pending_.empty());
        return sourcing || !(pending_.empty() && concluded());
    }

    [[nodiscard]] bool concluded() const {
        return service_ == Service::echo_once && received_ >= message_size_;
    }

    // While an echo waits for room nothing more is read: back-pressure instead of a growing buffer.
    void set_blocked(bool blocked) {
        if (blocked == blocked_) return;
        blocked_ = blocked;
        const std::uint32_t reading = blocked && service_ != Service::source ? 0U : EPOLLIN;
        owner_.loop_.change(fd_.get(), *this, reading | (blocked ? EPOLLOUT : 0U));
    }

    Backend& owner_;
    UniqueFd fd_;
    std::vector<std::byte> hello_;
    std::optional<Service> service_;
    std::uint64_t message_size_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t position_ = 0;  // in the pattern
    std::uint64_t budget_ = 0;  // bytes that the client has granted
    std::uint64_t mismatches_ = 0;
    std::vector<std::byte> pending_;
    bool blocked_ = false;
};

Backend::Backend(Loop& loop, std::uint16_t port)
    : loop_(loop), listener_(listen_on(port)), scratch_(max_piece) {
    loop_.add(listener_.get(), *this, EPOLLIN);
}

Backend::~Backend() = default;

void Backend::on_ready(std::uint32_t) {
    for (;;) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) return;
        ++accepted_;
        const int number = fd.get();
        connections_[number] = std::make_unique<Connection>(*this, std::move(fd));
    }
}

void Backend::release(int fd) { connections_.erase(fd); }

}  // namespace penstock::bench
