#pragma once

#include <string>

#include "net/tls/handles.hpp"

namespace penstock::net::tls {

/// Makes `ssl` a client that asks for `name`, a host name or an IP address, and, if its context
/// verifies at all, takes no certificate but one that bears it among its alternative names. "" =
/// asks for no name, and takes none if it verifies. Throws std::bad_alloc.
void expect_server(SSL* ssl, const std::string& name);

}  // namespace penstock::net::tls
