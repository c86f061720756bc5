#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/tls/ticket_key_book.hpp"
#include "config/config.hpp"
#include "net/tls/context.hpp"
#include "net/tls/own_server.hpp"
#include "net/tls/ticket_keys.hpp"

namespace penstock::app {

/// What the files of one listener's TLS come to.
struct ServerMaterial {
    std::shared_ptr<const net::tls::ServerContext> context{};
    // Of its key files; null = none. Wiped with the last that has them.
    std::shared_ptr<const std::vector<net::tls::TicketKey>> ticket_keys{};
    std::vector<std::string> warnings{};
    std::uint64_t digest = 0;  // of the contents of all files
};
/// The same for an upstream.
struct ClientMaterial {
    std::shared_ptr<const net::tls::ClientContext> context{};
    std::vector<std::string> warnings{};
    std::uint64_t digest = 0;
};

/// A listener of the admin API with TLS.
struct AdminDoor {
    std::string name{};  // the first of its addresses
    config::AdminTls tls{};
};
[[nodiscard]] std::vector<AdminDoor> admin_doors(const config::Admin& admin);
[[nodiscard]] std::string name_of(const config::AdminListener& listener);
/// The same for one.
struct AdminMaterial {
    std::shared_ptr<const net::tls::OwnServerContext> context{};
    std::vector<std::string> warnings{};
    std::uint64_t digest = 0;
};

/// By name; nothing where there is no TLS.
struct TlsContexts {
    std::map<std::string, std::shared_ptr<const net::tls::ServerContext>> listeners{};
    std::map<std::string, std::shared_ptr<const net::tls::ClientContext>> upstreams{};
    std::map<std::string, std::shared_ptr<const net::tls::OwnServerContext>> admin{};
};

/// All contexts of a configuration, by listener and upstream, as far as they have TLS.
struct TlsMaterial {
    std::map<std::string, ServerMaterial> listeners{};
    std::map<std::string, ClientMaterial> upstreams{};
    std::map<std::string, AdminMaterial> admin{};
    [[nodiscard]] TlsContexts contexts() const;
    /// `listener web: ...`; of all.
    [[nodiscard]] std::vector<std::string> warnings() const;
};

// Any thread; these read files. An error is a sentence for the user. Keys that others can read are
// a warning, or an error where `strict`.
[[nodiscard]] std::expected<ServerMaterial, std::string> load_server(
    const config::Listener& listener, bool strict, TicketKeyBook& tickets);
[[nodiscard]] std::expected<ClientMaterial, std::string> load_client(
    const config::Upstream& upstream, bool strict);
[[nodiscard]] std::expected<AdminMaterial, std::string> load_admin(const AdminDoor& door,
                                                                   bool strict);
/// What was loaded, by name, and with which settings.
template <typename Settings, typename Material>
struct Loaded {
    std::shared_ptr<const Settings> settings{};
    Material material{};
    bool strict = false;
};
struct LoadedTls {
    std::map<std::string, Loaded<config::Listener, ServerMaterial>> listeners{};
    std::map<std::string, Loaded<config::Upstream, ClientMaterial>> upstreams{};
    std::map<std::string, Loaded<AdminDoor, AdminMaterial>> admin{};
};
/// These read the same files for the same use.
[[nodiscard]] bool same_tls(const config::Listener& one, const config::Listener& other);
[[nodiscard]] bool same_tls(const config::Upstream& one, const config::Upstream& other);
[[nodiscard]] bool same_tls(const AdminDoor& one, const AdminDoor& other);

/// All errors, each naming the listener or upstream. What neither settings nor files have changed
/// of is taken from `known`: a password may have come through a FIFO that nobody fills again.
[[nodiscard]] std::expected<TlsMaterial, std::vector<std::string>> load_tls(
    const config::Config& config, TicketKeyBook& tickets, const LoadedTls& known = {});

/// `/a.pem: the certificate expires in 3 days`, or has expired; nothing while there is time.
[[nodiscard]] std::optional<std::string> expiry_warning(
    const net::tls::CertificateInfo& certificate, WallTime now);
/// The same of a list, for which a third of its life is soon, but not more than three days.
[[nodiscard]] std::optional<std::string> expiry_warning(const net::tls::RevocationInfo& list,
                                                        WallTime now);

/// The files, and patterns of files, whose contents matter.
struct TlsPaths {
    std::vector<std::string> files{};
    std::vector<std::string> patterns{};
};
[[nodiscard]] TlsPaths tls_paths(const config::Listener& listener);
[[nodiscard]] TlsPaths tls_paths(const config::Upstream& upstream);
[[nodiscard]] TlsPaths tls_paths(const AdminDoor& door);
/// Of their contents; whether a file can be read counts as well. Any thread.
[[nodiscard]] std::uint64_t digest_of(const TlsPaths& paths);

}  // namespace penstock::app
