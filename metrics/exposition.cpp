#include "metrics/exposition.hpp"

#include <limits>
#include <sstream>

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace penstock::metrics {

namespace {

constexpr double us_per_s = 1e6;

prometheus::ClientMetric labelled(const Labels& labels) {
    prometheus::ClientMetric metric;
    metric.label.reserve(labels.size());
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    return metric;
}

}  // namespace

struct Exposition::Impl {
    std::vector<prometheus::MetricFamily> families;

    void begin(std::string_view name, std::string_view help, prometheus::MetricType type) {
        families.push_back({std::string(name), std::string(help), type, {}});
    }
};

Exposition::Exposition() : impl_(std::make_unique<Impl>()) {}
Exposition::~Exposition() = default;

void Exposition::counter(std::string_view name, std::string_view help) {
    impl_->begin(name, help, prometheus::MetricType::Counter);
}

void Exposition::gauge(std::string_view name, std::string_view help) {
    impl_->begin(name, help, prometheus::MetricType::Gauge);
}

void Exposition::histogram(std::string_view name, std::string_view help) {
    impl_->begin(name, help, prometheus::MetricType::Histogram);
}

void Exposition::add(const Labels& labels, double value) {
    auto& family = impl_->families.back();
    auto metric = labelled(labels);
    if (family.type == prometheus::MetricType::Counter)
        metric.counter.value = value;
    else
        metric.gauge.value = value;
    family.metric.push_back(std::move(metric));
}

void Exposition::add(const Labels& labels, const HistogramTotals& totals,
                     std::span<const std::uint64_t> bounds_us) {
    auto metric = labelled(labels);
    auto& shown = metric.histogram;
    shown.bucket.reserve(bounds_us.size() + 1);
    std::uint64_t so_far = 0;
    for (std::size_t i = 0; i <= bounds_us.size(); ++i) {
        if (i < totals.counts.size()) so_far += totals.counts[i];
        const double bound = i < bounds_us.size() ? static_cast<double>(bounds_us[i]) / us_per_s
                                                  : std::numeric_limits<double>::infinity();
        shown.bucket.push_back({so_far, bound});
    }
    shown.sample_count = so_far;
    shown.sample_sum = static_cast<double>(totals.sum_us) / us_per_s;
    impl_->families.back().metric.push_back(std::move(metric));
}

std::string Exposition::text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, impl_->families);
    return std::move(out).str();
}

}  // namespace penstock::metrics
