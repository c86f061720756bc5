#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/access_log.hpp"
#include "tests/support/admin_client.hpp"

namespace penstock::test {

/// What must be true of a page of metrics at any time, with traffic or without; one sentence for
/// each breach. Nothing is negative; on an idle proxy each accepted connection is closed, with one
/// reason, and has a lifetime unless it was refused.
[[nodiscard]] std::vector<std::string> contradictions(const MetricsPage& page);

/// Where the counters of an idle proxy differ from its access log, which has every connection.
[[nodiscard]] std::vector<std::string> differences(const MetricsPage& page,
                                                   const std::vector<LogLine>& log);

}  // namespace penstock::test
