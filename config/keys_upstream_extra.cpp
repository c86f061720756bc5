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
    {.name = "server_name",
     .kind = Kind::string,
     .access = at<&UpstreamTls::server_name>,
     .doc = "Name to ask for and to find in the certificate; \"\" = the host name of the backend's "
            "address, or its IP address.",
     .example = R"("db.example.com")"},
    {.name = "ca",
     .kind = Kind::path,
     .access = at<&UpstreamTls::ca>,
     .doc = "Authorities that certificates must come from, as PEM; \"\" = those of the system."},
    {.name = "crl",
     .kind = Kind::path,
     .access = at<&UpstreamTls::crl>,
     .doc = "Revoked certificates, as PEM."},
    {.name = "verify",
     .kind = Kind::boolean,
     .access = at<&UpstreamTls::verify>,
     .doc = "Only backends whose certificate is valid and has the name; false = whoever answers."},
    {.name = "client_certificate",
     .kind = Kind::table,
     .access = at<&UpstreamTls::client_certificate>,
     .doc = "Certificate that is shown to backends; no `cert` = none.",
     .child = "upstream.tls.client_certificate",
     .example = R"({ cert = "proxy.pem", key = "proxy.key" })"},
    {.name = "session_reuse",
     .kind = Kind::boolean,
     .access = at<&UpstreamTls::session_reuse>,
     .doc = "Sessions are resumed, which saves most of a handshake."},
    {.name = "alpn",
     .kind = Kind::strings,
     .access = at<&UpstreamTls::alpn>,
     .doc = "Protocols to offer, the preferred one first.",
     .example = R"(["h2", "http/1.1"])"},
    {.name = "min_version",
     .kind = Kind::word,
     .access = at<&UpstreamTls::min_version>,
     .doc = "Lowest version of TLS.",
     .words = "1.2|1.3"},
};

constexpr Key client_certificate_keys[] = {
    {.name = "cert",
     .kind = Kind::path,
     .access = at<&CertificateFile::cert>,
     .doc = "Certificate and those between it and the authority, as PEM."},
    {.name = "key",
     .kind = Kind::path,
     .access = at<&CertificateFile::key>,
     .doc = "Its private key, as PEM; \"\" = in the file of the certificate."},
    {.name = "key_password_file",
     .kind = Kind::path,
     .access = at<&CertificateFile::key_password_file>,
     .doc = "Passwords of the key, one a line, tried in turn; \"\" = it has none."},
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
        {.path = "upstream.tls",
         .header = "[upstream.tls]",
         .keys = upstream_tls_keys,
         .make = make_default<UpstreamTls>,
         .doc = "TLS to the backends: see [TLS](#tls-and-server-names)."},
        {.path = "upstream.tls.client_certificate",
         .header = "[upstream.tls.client_certificate]",
         .keys = client_certificate_keys,
         .make = make_default<CertificateFile>,
         .doc = "Certificate that is shown to backends.",
         .print_inline = true},
    };
    return tables;
}

}  // namespace

std::span<const TableSpec> upstream_extra_tables() { return make_tables(); }

}  // namespace penstock::config::keys
