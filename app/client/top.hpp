#pragma once

#include "app/client/api_client.hpp"
#include "app/exit_status.hpp"

namespace penstock::app::client {

/// `penstock top`: draws what the proxy's stream says until the user leaves. Returns the exit
/// status.
ExitStatus top(const ClientOptions& options);

}  // namespace penstock::app::client
