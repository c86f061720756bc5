#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr Key tls_keys[] = {
    planned("certificates", Kind::tables, "[]", "Certificates and keys, chosen by server name."),
    planned("min_version", Kind::word, R"("1.2")", "Lowest version."),
    planned("max_version", Kind::word, R"("1.3")", "Highest version."),
    planned("ciphers", Kind::string, R"("")", "Ciphers; empty = the recommended ones."),
    planned("alpn", Kind::strings, "[]", "Protocols offered to clients."),
    planned("client_ca", Kind::path, R"("")", "Authorities for client certificates."),
    planned("client_crl", Kind::path, R"("")", "Revoked client certificates."),
    planned("client_auth", Kind::word, R"("off")", "Ask clients for certificates."),
    planned("client_names", Kind::strings, "[]", "Names that client certificates may bear."),
    planned("session_tickets", Kind::boolean, "true", "Resume by tickets."),
    planned("session_cache", Kind::integer, "20000", "Sessions kept for clients without tickets."),
    planned("session_ticket_key_files", Kind::strings, "[]", "Ticket keys of several instances."),
    planned("strict_sni", Kind::boolean, "false", "Refuse unknown server names."),
    planned("max_handshakes", Kind::integer, "0", "Handshakes at a time."),
};

constexpr Key route_keys[] = {
    planned("sni", Kind::strings, "[]", "Server names."),
    planned("alpn", Kind::strings, "[]", "Protocols, any of them."),
    planned("source", Kind::peers, "[]", "Peers."),
    planned("role", Kind::word, R"("")", "Only backends in this role."),
    planned("upstream", Kind::string, R"("")", "Upstream for what matches."),
    planned("split", Kind::tables, "[]", "Several upstreams with weights."),
    planned("tls", Kind::word, R"("")", "terminate or passthrough."),
    planned("starttls", Kind::word, R"("")", "Protocol whose TLS request is answered."),
};

constexpr TableSpec tables[] = {
    {.path = "listener.tls", .header = "[listener.tls]", .keys = tls_keys},
    {.path = "listener.route", .header = "[[listener.route]]", .keys = route_keys},
};

}  // namespace

std::span<const TableSpec> listener_extra_tables() { return tables; }

}  // namespace penstock::config::keys
