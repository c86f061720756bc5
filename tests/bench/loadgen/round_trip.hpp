#pragma once

#include <memory>
#include <vector>

#include "tests/bench/loadgen/load.hpp"

namespace penstock::bench {

/// N connections, each with one message on its way at a time, echoed by the backend. Establishing
/// includes a first round trip, so that the proxy's backend connections exist as well. Between
/// establishing and start() all connections are idle: that is the idle mode.
class RoundTrips final : public Generator {
public:
    RoundTrips(Loop& loop, const Load& load, Measurement& measurement);
    ~RoundTrips() override;

    [[nodiscard]] bool established() const override { return opened_ == target_ && busy_ == 0; }
    void start() override;
    void stop() override { running_ = false; }
    [[nodiscard]] bool finished() const override { return busy_ == 0; }
    [[nodiscard]] std::uint64_t outstanding() const override { return busy_ + target_ - opened_; }

private:
    class Connection;

    void open_next();
    void on_answer(Connection& connection, Clock::time_point started);
    void on_failure(Connection& connection, std::uint64_t Errors::* kind);

    Loop& loop_;
    const Load& load_;
    Measurement& measurement_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<std::byte> scratch_;
    unsigned target_;
    unsigned opened_ = 0;
    std::uint64_t busy_ = 0;  // connections with a message on its way
    bool running_ = false;
};

}  // namespace penstock::bench
