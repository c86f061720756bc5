#pragma once

#include "app/client/api_client.hpp"
#include "app/exit_status.hpp"

namespace penstock::app::client {

/// Pure: `unreachable` if no proxy was reached, `failure` otherwise.
[[nodiscard]] ExitStatus exit_status_of(const ClientError& error) noexcept;

/// Says on standard error what went wrong; returns the exit status.
ExitStatus report(const ClientError& error);

}  // namespace penstock::app::client
