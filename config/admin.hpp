#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/prefix.hpp"

namespace penstock::config {

/// What a listener of the admin API lets its clients do; each includes those before it.
enum class AdminAccess : std::uint8_t {
    metrics,  // /metrics, /livez, /readyz
    read,     // everything that changes nothing
    full,
};

struct AdminTls {
    std::string certificate{};  // absolute path; "" = no TLS
    std::string key{};
    bool operator==(const AdminTls&) const = default;
};

/// Where the admin API is found unless the configuration says otherwise.
[[nodiscard]] inline Endpoint default_admin_bind() {
    return *Endpoint::parse("unix:$RUNTIME/admin.sock");
}

struct AdminListener {
    /// A unix path may begin with `$RUNTIME/`: the program's runtime directory, known when it runs.
    std::vector<Endpoint> bind{default_admin_bind()};
    AdminAccess access = AdminAccess::full;
    std::uint32_t socket_mode = 0600;  // of unix sockets
    std::string socket_group{};
    std::string token_file{};  // absolute; "" = none
    AdminTls tls{};
    PeerList allow{};  // CIDRs; empty = everybody
    bool operator==(const AdminListener&) const = default;
};

struct Admin {
    std::vector<std::string> ready_upstreams{};
    std::vector<std::string> allowed_hosts{};
    std::vector<AdminListener> listeners{};  // resolved: the unix socket where none is written
    bool operator==(const Admin&) const = default;
};

}  // namespace penstock::config
