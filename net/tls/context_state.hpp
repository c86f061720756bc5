#pragma once

#include <string>
#include <vector>

#include "net/tls/context.hpp"
#include "net/tls/handles.hpp"

namespace penstock::net::tls {

struct ServerContext::State {
    ContextPtr context{};  // with its ServerRules
    std::vector<CertificateInfo> certificates{};
    std::vector<RevocationInfo> revocations{};
    std::vector<std::string> warnings{};
    ClientAuth client_auth = ClientAuth::off;
};

struct ClientContext::State {
    ContextPtr context{};
    std::vector<CertificateInfo> certificates{};
    std::vector<RevocationInfo> revocations{};
    std::vector<std::string> warnings{};
    std::string session_scope{};  // sessions are resumed under the same trust alone
    SystemTime revocations_end = SystemTime::max();  // the first of the lists has expired then
    std::chrono::seconds session_lifetime = usual_session_lifetime;
    bool reuses_sessions = true;
};

}  // namespace penstock::net::tls
