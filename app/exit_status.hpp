#pragma once

namespace penstock::app {

/// What the process ends with, whichever command it was.
enum class ExitStatus : int {
    success = 0,
    failure = 1,
    invalid_usage = 2,
    unreachable = 3,  // no running proxy
    has_changes = 4,  // `plan --exit-code` alone
};

}  // namespace penstock::app
