#pragma once

#include <string>
#include <vector>

#include "net/tls/context.hpp"
#include "net/tls/handles.hpp"

namespace penstock::net::tls {

struct ServerContext::State {
    ContextPtr context{};  // with its ServerRules
    std::vector<CertificateInfo> certificates{};
    std::vector<std::string> warnings{};
    ClientAuth client_auth = ClientAuth::off;
};

struct ClientContext::State {
    ContextPtr context{};
    std::vector<CertificateInfo> certificates{};
    std::vector<std::string> warnings{};
    std::string session_scope{};  // sessions are resumed under the same trust alone
    bool reuses_sessions = true;
};

}  // namespace penstock::net::tls
