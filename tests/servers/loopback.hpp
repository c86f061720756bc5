#pragma once

#include <string>

#include "tests/support/socket.hpp"

namespace penstock::test {

/// An address for a server that cannot be told to listen on port 0. The IP is one of 127.0.0.0/8
/// that only this process uses, so that nothing else takes the port before the server binds it.
[[nodiscard]] Address private_address();

/// "127.9.8.7" of "127.9.8.7:80".
[[nodiscard]] std::string host_of(const Address& address);
[[nodiscard]] std::string port_of(const Address& address);

}  // namespace penstock::test
