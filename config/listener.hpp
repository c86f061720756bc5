#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/prefix.hpp"
#include "base/role.hpp"
#include "config/bind.hpp"
#include "config/common.hpp"
#include "config/tls.hpp"

namespace penstock::config {

/// `amount` in `per`, and at most `burst` at once. amount 0 = unlimited.
struct Rate {
    std::uint64_t amount = 0;
    Duration per = std::chrono::seconds(1);
    std::uint64_t burst = 0;
    bool operator==(const Rate&) const = default;
};

struct SourcePrefix {
    std::uint32_t ipv4 = 32;
    std::uint32_t ipv6 = 64;
    bool operator==(const SourcePrefix&) const = default;
};

/// The keys of a listener that may be named in `dry_run`: they count and log, and refuse nobody.
struct DryRun {
    bool max_connections = false;
    bool max_connections_per_source = false;
    bool accept_rate = false;
    bool accept_rate_per_source = false;
    bool allow = false;
    bool deny = false;
    bool operator==(const DryRun&) const = default;
};

enum class SplitBy : std::uint8_t { random, source_ip };

/// One share of a split listener.
struct SplitPart {
    std::string upstream{};
    std::uint32_t weight = 1;
    bool operator==(const SplitPart&) const = default;
};

enum class OnLimit : std::uint8_t { refuse, wait };
enum class RefuseWith : std::uint8_t { reset, close };

/// Who sends a PROXY header, and which.
enum class ProxyProtocol : std::uint8_t { off, v1, v2, any };
/// What becomes of peers that are not trusted to send one.
enum class ProxyProtocolUntrusted : std::uint8_t { refuse, direct, ignore };
/// The protocol whose request for TLS is answered before the ClientHello.
enum class StartTls : std::uint8_t { none, postgres };
/// automatic = terminate where the listener has certificates.
enum class RouteTls : std::uint8_t { automatic, terminate, passthrough };

/// One row of `[listener.sni]`.
struct SniUpstream {
    std::string name{};  // lower case; exact, or with one leading `*.`
    std::string upstream{};
    bool operator==(const SniUpstream&) const = default;
};

/// Clients that meet all conditions go there. A condition that is empty holds for everybody.
struct Route {
    std::vector<std::string> sni{};  // lower case; exact, or with one leading `*.`; "" = no name
    std::vector<std::string> alpn{};  // any of them
    PeerList source{};
    Role role = Role::none;  // asked of the backends; none = the listener's
    std::string upstream{};
    std::vector<SplitPart> split{};  // instead of upstream
    RouteTls tls = RouteTls::automatic;
    StartTls starttls = StartTls::none;
    bool operator==(const Route&) const = default;
};

struct ListenerTimeouts {
    Duration proxy_header = std::chrono::seconds(5);
    Duration client_hello = std::chrono::seconds(5);
    Duration tls_handshake = std::chrono::seconds(10);
    Duration idle = std::chrono::hours(1);  // `never` allowed
    Duration half_closed = std::chrono::minutes(1);  // `never` allowed
    Duration lifetime = never;
    double lifetime_jitter = 0.1;
    bool operator==(const ListenerTimeouts&) const = default;
};

struct Listener {
    std::string name{};
    std::vector<Bind> bind{};  // `:80` already expanded to both families
    std::string upstream{};  // "" = refuse what nothing claims (no_route)
    Role role = Role::none;  // only backends that report this role; none = any
    std::vector<SplitPart> split{};  // instead of upstream; empty = no split
    SplitBy split_by = SplitBy::random;
    std::uint32_t backlog = 4096;
    std::uint64_t max_connections = 0;  // 0 = only the process limit
    std::uint64_t max_connections_per_source = 0;  // 0 = unlimited
    Rate accept_rate{};
    Rate accept_rate_per_source{};
    SourcePrefix source_prefix{};
    PeerList limit_exempt{};
    OnLimit on_limit = OnLimit::refuse;
    RefuseWith refuse_with = RefuseWith::reset;
    PeerList allow{};  // empty = everybody
    PeerList deny{};
    std::string allow_file{};  // absolute; "" = none
    std::string deny_file{};
    DryRun dry_run{};
    ProxyProtocol proxy_protocol = ProxyProtocol::off;
    PeerList proxy_protocol_from{};
    ProxyProtocolUntrusted proxy_protocol_untrusted = ProxyProtocolUntrusted::refuse;
    std::uint64_t client_hello_max = 16 * 1024;  // bytes
    StartTls starttls = StartTls::none;
    std::optional<ListenerTls> tls{};  // nothing = plain, or passed through
    std::vector<SniUpstream> sni{};  // sorted by name; before routes
    std::vector<Route> routes{};  // the first that matches
    std::uint64_t download_rate =
        0;  // bytes per second and connection, towards the client; 0 = unlimited
    std::uint64_t upload_rate = 0;
    Duration peer_timeout = std::chrono::seconds(30);  // `never` allowed
    Keepalive keepalive{};
    ListenerTimeouts timeouts{};
    bool operator==(const Listener&) const = default;
};

}  // namespace penstock::config
