#include "metrics/exposition.hpp"

#include <gtest/gtest.h>

namespace penstock::metrics {
namespace {

TEST(Exposition, writes_families_with_help_type_and_samples) {
    Exposition page;
    page.counter("x_total", "Things.");
    page.add({{"a", "1"}, {"b", "two"}}, std::uint64_t{42});
    page.gauge("y", "Level.");
    page.add({}, 0.5);
    EXPECT_EQ(page.text(),
              "# HELP x_total Things.\n# TYPE x_total counter\nx_total{a=\"1\",b=\"two\"} 42\n"
              "# HELP y Level.\n# TYPE y gauge\ny 0.5\n");
}

TEST(Exposition, M7_escapes_labels) {
    Exposition page;
    page.gauge("y", "Level.");
    page.add({{"name", "a\"b\\c\nd"}}, 1.0);
    EXPECT_NE(page.text().find("y{name=\"a\\\"b\\\\c\\nd\"} 1"), std::string::npos) << page.text();
}

TEST(Exposition, histograms_are_cumulative_and_in_seconds) {
    WaitHistogram histogram;
    histogram.record(200);
    histogram.record(900);
    histogram.record(20'000'000);
    HistogramTotals totals;
    totals += histogram;
    Exposition page;
    page.histogram("t_seconds", "Times.");
    page.add({{"w", "0"}}, totals, wait_bounds_us);
    const std::string text = page.text();
    for (const char* line :
         {"t_seconds_count{w=\"0\"} 3\n", "t_seconds_sum{w=\"0\"} 20.0011\n",
          "t_seconds_bucket{w=\"0\",le=\"0.00025\"} 1\n",
          "t_seconds_bucket{w=\"0\",le=\"0.0005\"} 1\n",
          "t_seconds_bucket{w=\"0\",le=\"0.001\"} 2\n", "t_seconds_bucket{w=\"0\",le=\"10\"} 2\n",
          "t_seconds_bucket{w=\"0\",le=\"+Inf\"} 3\n"})
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST(Exposition, a_histogram_that_counted_nothing_has_all_its_buckets) {
    Exposition page;
    page.histogram("t_seconds", "Times.");
    page.add({}, HistogramTotals{}, wait_bounds_us);
    EXPECT_NE(page.text().find("t_seconds_bucket{le=\"+Inf\"} 0\n"), std::string::npos);
}

}  // namespace
}  // namespace penstock::metrics
