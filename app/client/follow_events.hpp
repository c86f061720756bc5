#pragma once

#include "app/client/api_client.hpp"
#include "app/exit_status.hpp"

namespace penstock::app::client {

/// `penstock events -f`: prints what `past` asks for, then each event as it happens, until the
/// proxy ends the stream. With `as_json` one object a line. Returns the exit status.
ExitStatus follow_events(const ClientOptions& options, const Request& past, bool as_json);

}  // namespace penstock::app::client
