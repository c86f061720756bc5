#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/totals.hpp"

namespace penstock::metrics {

/// Names and values, in the order in which they are to be shown.
using Labels = std::vector<std::pair<std::string, std::string>>;

/// A page in Prometheus's text format. Families are added one after the other; samples belong to
/// the family that was begun last.
class Exposition {
public:
    Exposition();
    ~Exposition();
    Exposition(const Exposition&) = delete;
    Exposition& operator=(const Exposition&) = delete;

    // `name` in full. One line of help.
    void counter(std::string_view name, std::string_view help);
    void gauge(std::string_view name, std::string_view help);
    void histogram(std::string_view name, std::string_view help);

    void add(const Labels& labels, double value);
    void add(const Labels& labels, std::uint64_t value) { add(labels, static_cast<double>(value)); }
    /// Shown in seconds, with all buckets, also where nothing was counted yet.
    void add(const Labels& labels, const HistogramTotals& totals,
             std::span<const std::uint64_t> bounds_us);

    [[nodiscard]] std::string text() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::metrics
