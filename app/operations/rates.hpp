#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "admin/model.hpp"
#include "base/clock.hpp"

namespace penstock::app {

/// A counter's increase per second, averaged over the last seconds: each second that passes counts
/// less than the one after it. Pure.
class Rate {
public:
    static constexpr double memory_s = 5;

    void sample(std::uint64_t total, double elapsed_s) noexcept;
    [[nodiscard]] double per_second() const noexcept { return rate_; }

private:
    std::uint64_t last_ = 0;
    double rate_ = 0;
    bool begun_ = false;
};

/// What a histogram of counters has seen lately, as weights per bucket. Pure.
class RecentTimes {
public:
    static constexpr double memory_s = 30;

    void sample(const metrics::HistogramTotals& totals, double elapsed_s);
    [[nodiscard]] admin::Quantiles quantiles() const;

private:
    std::vector<std::uint64_t> last_;
    std::vector<double> weights_;
    std::span<const std::uint64_t> bounds_us_;
};

struct WorkerPace {
    Rate busy_us;
    RecentTimes lag;
};

struct ListenerPace {
    Rate accepted;
    Rate bytes_to_backend;
    Rate bytes_to_client;
};

struct BackendPace {
    Rate established;
    Rate failed;
    Rate bytes_to_backend;
    Rate bytes_to_client;
    RecentTimes connect;
    RecentTimes first_byte;
};

}  // namespace penstock::app
