#pragma once

#include "net/task.hpp"

namespace penstock::proxy {

class Session;

/// What comes before a backend is chosen, each under its own deadline: the PROXY header, the words
/// of a protocol that asks for TLS, the ClientHello, the handshake. Ends with the session
/// connecting, or aborted.
net::Root receive_client(Session& session);

}  // namespace penstock::proxy
