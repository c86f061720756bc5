#pragma once

#include "app/client/api_client.hpp"

namespace penstock::app::client {

/// Pure: 3 if no proxy was reached, 1 otherwise.
[[nodiscard]] int exit_status_of(const ClientError& error) noexcept;

/// Says on standard error what went wrong; returns the exit status.
int report(const ClientError& error);

}  // namespace penstock::app::client
