#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/proxy_process.hpp"

/// What the end-to-end tests have in common.
namespace penstock::test {

/// One listener, `workers` workers, these backends in round robin; `upstream` adds lines.
[[nodiscard]] ConfigText proxy_for(std::vector<std::string> backends, unsigned workers = 2,
                                   std::string upstream = "");

/// Waits for `count` close lines, stops the proxy, and returns all lines of the log: there must be
/// exactly `count`, each as the contract demands. The test fails otherwise.
std::vector<LogLine> stop_with_lines(ProxyProcess& proxy, std::size_t count);

/// How many lines have each reason.
using Counts = std::map<std::string, std::size_t>;
[[nodiscard]] Counts count_reasons(const std::vector<LogLine>& lines);
/// How many lines have each backend.
[[nodiscard]] Counts count_backends(const std::vector<LogLine>& lines);

}  // namespace penstock::test
