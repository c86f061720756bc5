#pragma once

#include "net/task.hpp"

namespace penstock::proxy {

class Session;

/// Finds a backend for `session` and connects to it: several attempts, each on another backend
/// while there is one, as the upstream's settings say. Ends before the relay begins, or with the
/// session aborted.
net::Root connect_session(Session& session);

}  // namespace penstock::proxy
