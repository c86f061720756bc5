#pragma once

#include "app/client/api_client.hpp"

namespace penstock::app::client {

/// `penstock events -f`: prints what the proxy still knows, then each event as it happens, until
/// the proxy ends the stream. With `as_json` one object a line. Returns the exit status.
int follow_events(const ClientOptions& options, bool as_json);

}  // namespace penstock::app::client
