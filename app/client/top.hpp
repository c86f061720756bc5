#pragma once

#include "app/client/api_client.hpp"

namespace penstock::app::client {

/// `penstock top`: draws what the proxy's stream says until the user leaves. Returns the exit
/// status.
int top(const ClientOptions& options);

}  // namespace penstock::app::client
