#include "tests/bench/loadgen/bulk.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "tests/bench/loadgen/wire.hpp"

namespace penstock::bench {

/// What both directions share: connecting, introducing the stream, ending it.
class BulkStreams::Stream : public Handler {
public:
    Stream(BulkStreams& owner, std::uint32_t number)
        : owner_(owner),
          channel_(start_connect(owner.load_.target, number), owner.load_.tls),
          position_(stream_start(number)) {
        write_message(hello_, service(), number);
    }
    virtual ~Stream() = default;

    [[nodiscard]] bool open() const { return static_cast<bool>(channel_); }
    void watch() { owner_.loop_.add(channel_.fd(), *this, EPOLLIN | EPOLLOUT); }

    void on_ready(std::uint32_t events) override {
        if (!introduced_) {
            if ((events & (EPOLLERR | EPOLLHUP)) != 0) return fail(&Errors::connect);
            const auto state = channel_.establish();
            if (state == Transfer::State::would_block) return interest(channel_.awaited());
            if (state != Transfer::State::done) return fail(&Errors::connect);
            // The first bytes on a fresh connection always fit into its send buffer.
            if (channel_.transmit(hello_).bytes != hello_.size()) return fail(&Errors::broken);
            introduced_ = true;
            return on_introduced();
        }
        on_transfer(events);
    }

    /// Called once when nothing new shall begin.
    virtual void wind_up() {}

protected:
    [[nodiscard]] Service service() const {
        return owner_.direction_ == Direction::download ? Service::source : Service::sink;
    }
    virtual void on_introduced() = 0;
    virtual void on_transfer(std::uint32_t events) = 0;

    void interest(std::uint32_t events) { owner_.loop_.change(channel_.fd(), *this, events); }

    void fail(std::uint64_t Errors::* kind) {
        ++(owner_.measurement_.errors.*kind);
        complete();
    }

    void complete() {
        channel_.close();
        --owner_.active_;
    }

    // The operation of a stream is a unit that has arrived.
    void unit_done() {
        const auto now = Clock::now();
        owner_.measurement_.operation(std::exchange(unit_started_, now), now);
    }

    // Reads into the shared scratch buffer; an empty span when there is nothing or it failed.
    std::span<const std::byte> read_some() {
        const auto result = channel_.receive(owner_.scratch_);
        if (result.state == Transfer::State::ended) fail(&Errors::early_end);
        if (result.state == Transfer::State::failed) fail(&Errors::broken);
        return std::span<const std::byte>(owner_.scratch_).first(result.bytes);
    }

    BulkStreams& owner_;
    Channel channel_;
    std::uint64_t position_;  // in the pattern
    std::uint64_t bytes_ = 0;

private:
    Clock::time_point unit_started_ = Clock::now();
    std::array<std::byte, sizeof(Header)> hello_{};
    bool introduced_ = false;
};

class BulkStreams::Download final : public Stream {
public:
    using Stream::Stream;

private:
    void on_introduced() override {
        interest(EPOLLIN);
        while (granted_ < window_units && grant()) {
        }
    }

    bool grant() {
        const std::array<std::byte, 1> credit{};
        if (channel_.transmit(credit).bytes != 1) {
            fail(&Errors::broken);
            return false;
        }
        ++granted_;
        return true;
    }

    void on_transfer(std::uint32_t) override {
        const auto piece = read_some();
        if (piece.empty()) return;
        const auto expected = pattern_at(position_, piece.size());
        const bool surplus = bytes_ + piece.size() > granted_ * bulk_unit;
        if (surplus || std::memcmp(piece.data(), expected.data(), piece.size()) != 0) {
            return fail(&Errors::mismatch);
        }
        const std::uint64_t units_before = bytes_ / bulk_unit;
        position_ += piece.size();
        bytes_ += piece.size();
        owner_.measurement_.bytes(piece.size());
        if (bytes_ / bulk_unit > units_before) unit_done();
        if (owner_.running_) {
            while (bytes_ + (window_units - 1) * bulk_unit >= granted_ * bulk_unit && grant()) {
            }
        } else if (bytes_ == granted_ * bulk_unit) {
            complete();
        }
    }

    std::uint64_t granted_ = 0;
};

class BulkStreams::Upload final : public Stream {
public:
    using Stream::Stream;

    // A stream that stands at the end of a unit has nothing more to write.
    void wind_up() override {
        if (open() && bytes_ % bulk_unit == 0 && acknowledged_ == bytes_) complete();
    }

private:
    void on_introduced() override { interest(EPOLLIN | EPOLLOUT); }

    void on_transfer(std::uint32_t events) override {
        if ((events & ~EPOLLOUT) != 0 && !read_acknowledgements()) return;
        if ((events & EPOLLOUT) != 0) write_some();
    }

    // False when the stream is over.
    bool read_acknowledgements() {
        const auto piece = read_some();
        if (!open()) return false;
        partial_.insert(partial_.end(), piece.begin(), piece.end());
        Acknowledgement latest{};
        while (partial_.size() >= sizeof latest) {
            std::memcpy(&latest, partial_.data(), sizeof latest);
            partial_.erase(partial_.begin(), partial_.begin() + sizeof latest);
            acknowledged_ += bulk_unit;
            if (latest.mismatches != 0 || latest.bytes != acknowledged_ || acknowledged_ > bytes_) {
                fail(&Errors::mismatch);
                return false;
            }
            unit_done();
        }
        if (!owner_.running_ && bytes_ % bulk_unit == 0 && acknowledged_ == bytes_) {
            complete();
            return false;
        }
        return true;
    }

    void write_some() {
        const std::size_t to_boundary = bulk_unit - bytes_ % bulk_unit;
        if (!owner_.running_ && to_boundary == bulk_unit) return interest(EPOLLIN);
        const auto result =
            channel_.transmit(pattern_at(position_, std::min(to_boundary, max_piece)));
        if (result.state == Transfer::State::failed) return fail(&Errors::broken);
        position_ += result.bytes;
        bytes_ += result.bytes;
        owner_.measurement_.bytes(result.bytes);
    }

    std::uint64_t acknowledged_ = 0;
    std::vector<std::byte> partial_;
};

BulkStreams::BulkStreams(Loop& loop, const Load& load, Measurement& measurement,
                         Direction direction)
    : loop_(loop),
      load_(load),
      measurement_(measurement),
      direction_(direction),
      scratch_(max_piece) {}

BulkStreams::~BulkStreams() = default;

void BulkStreams::start() {
    running_ = true;
    for (unsigned i = 0; i < load_.connections; ++i) {
        std::unique_ptr<Stream> stream;
        if (direction_ == Direction::download) {
            stream = std::make_unique<Download>(*this, i);
        } else {
            stream = std::make_unique<Upload>(*this, i);
        }
        if (!stream->open()) {
            ++measurement_.errors.connect;
            continue;
        }
        stream->watch();
        ++active_;
        streams_.push_back(std::move(stream));
    }
}

void BulkStreams::stop() {
    running_ = false;
    for (const auto& stream : streams_) stream->wind_up();
}

}  // namespace penstock::bench
