#pragma once

#include <memory>
#include <vector>

#include "tests/bench/loadgen/load.hpp"

namespace penstock::bench {

enum class Direction { download, upload };

/// N streams of pattern, from the backend (on credit, so that a stream can stop cleanly) or to it
/// (with acknowledgements, so that what the backend received is known to be right). An operation is
/// a bulk_unit that has arrived.
class BulkStreams final : public Generator {
public:
    BulkStreams(Loop& loop, const Load& load, Measurement& measurement, Direction direction);
    ~BulkStreams() override;

    [[nodiscard]] bool established() const override { return true; }
    void start() override;
    void stop() override;
    [[nodiscard]] bool finished() const override { return active_ == 0; }
    [[nodiscard]] std::uint64_t outstanding() const override { return active_; }

private:
    class Stream;
    class Download;
    class Upload;

    Loop& loop_;
    const Load& load_;
    Measurement& measurement_;
    Direction direction_;
    std::vector<std::unique_ptr<Stream>> streams_;
    std::vector<std::byte> scratch_;
    std::uint64_t active_ = 0;
    bool running_ = false;
};

}  // namespace penstock::bench
