#pragma once

#include <memory>
#include <vector>

#include "tests/bench/loadgen/load.hpp"

namespace penstock::bench {

/// N slots, each of which connects, makes one round trip, reads the end of the stream, closes and
/// begins again. The backend ends the connection first, so TIME_WAIT falls to the listening ports
/// (backend and proxy) and neither the proxy nor this program runs out of ephemeral ports.
class ConnectCycles final : public Generator {
public:
    ConnectCycles(Loop& loop, const Load& load, Measurement& measurement);
    ~ConnectCycles() override;

    [[nodiscard]] bool established() const override { return true; }
    void start() override;
    void stop() override { running_ = false; }
    [[nodiscard]] bool finished() const override { return active_ == 0; }
    [[nodiscard]] std::uint64_t outstanding() const override { return active_; }

private:
    class Slot;

    Loop& loop_;
    const Load& load_;
    Measurement& measurement_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::vector<std::byte> scratch_;
    std::uint64_t started_ = 0;
    std::uint64_t active_ = 0;
    bool running_ = false;
};

}  // namespace penstock::bench
