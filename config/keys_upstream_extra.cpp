#include "config/config.hpp"
#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr Key rebalance_keys[] = {
    {.name = "on",
     .kind = Kind::words,
     .access = flags_at<&Rebalance::on_added, &Rebalance::on_recovered>,
     .doc = "What starts it: a backend was added, or has recovered; empty = only the command does.",
     .words = "added|recovered",
     .example = R"(["added", "recovered"])"},
    {.name = "over",
     .kind = Kind::duration,
     .access = at<&Rebalance::over>,
     .doc = "The connections are closed evenly over this time, idle ones first."},
    {.name = "max_share",
     .kind = Kind::share,
     .access = at<&Rebalance::max_share>,
     .doc = "Largest part of the upstream's sessions that is closed in one go."},
    {.name = "min_age",
     .kind = Kind::duration,
     .access = at<&Rebalance::min_age>,
     .doc = "Younger sessions stay."},
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
        {.path = "upstream.rebalance",
         .header = "[upstream.rebalance]",
         .keys = rebalance_keys,
         .make = make_default<Rebalance>,
         .doc = "Connections above a backend's fair share are closed, so that their clients come "
                "back to a backend that is new or back."},
        {.path = "upstream.tls", .header = "[upstream.tls]", .keys = upstream_tls_keys},
    };
    return tables;
}

}  // namespace

std::span<const TableSpec> upstream_extra_tables() { return make_tables(); }

}  // namespace penstock::config::keys
