#include "config/config.hpp"
#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr Key rebalance_keys[] = {
    planned("on", Kind::words, "[]", "What starts it: added, recovered."),
    planned("over", Kind::duration, R"("10m")", "How long it takes."),
    planned("max_share", Kind::share, "0.2", "Most sessions to move."),
    planned("min_age", Kind::duration, R"("5m")", "Younger sessions stay."),
};

constexpr Key upstream_tls_keys[] = {
    planned("server_name", Kind::string, R"("")", "Name to ask for and to verify."),
    planned("ca", Kind::path, R"("")", "Authorities; empty = the system's."),
    planned("crl", Kind::path, R"("")", "Revoked certificates."),
    planned("verify", Kind::boolean, "true", "Verify the backend's certificate."),
    planned("client_certificate", Kind::map, "{}", "Certificate and key of this proxy."),
    planned("session_reuse", Kind::boolean, "true", "Resume sessions."),
    planned("alpn", Kind::strings, "[]", "Protocols to offer."),
    planned("min_version", Kind::word, R"("1.2")", "Lowest version."),
};

std::span<const TableSpec> make_tables() {
    static const TableSpec tables[] = {
        {.path = "upstream.keepalive",
         .header = "[upstream.keepalive]",
         .keys = keepalive_keys(),
         .make = make_default<Keepalive>,
         .doc = "TCP keep-alive towards backends.",
         .print_inline = true},
        {.path = "upstream.rebalance", .header = "[upstream.rebalance]", .keys = rebalance_keys},
        {.path = "upstream.tls", .header = "[upstream.tls]", .keys = upstream_tls_keys},
    };
    return tables;
}

}  // namespace

std::span<const TableSpec> upstream_extra_tables() { return make_tables(); }

}  // namespace penstock::config::keys
