#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/integration/scenario.hpp"

/// What the tests of checks that begin as the traffic does have in common.
namespace penstock::test {

/// Backends that are checked often; `check` has more of `health_check`, `upstream` more lines.
inline ConfigText checked(std::vector<std::string> backends, const std::string& check,
                          const std::string& upstream) {
    ConfigText config = one_service(
        std::move(backends), "",
        "health_check = { interval = \"100ms\", fast_interval = \"50ms\", timeout = \"30s\", " +
            check + " }\n" + upstream);
    config.log = R"(level = "info")";
    return config;
}

}  // namespace penstock::test
