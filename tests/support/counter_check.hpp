#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/access_log.hpp"
#include "tests/support/admin_client.hpp"

namespace penstock::test {

/// What must be true of a page of metrics at any time, with traffic or without; one sentence for
/// each breach. Gauges are not negative, buckets are cumulative, and each accepted connection is
/// either closed, with one reason, or still there.
[[nodiscard]] std::vector<std::string> contradictions(const MetricsPage& page);

/// Where the counters of an idle proxy differ from its access log, which has every connection.
[[nodiscard]] std::vector<std::string> differences(const MetricsPage& page,
                                                   const std::vector<LogLine>& log);

}  // namespace penstock::test
