#include "config/config.hpp"
#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr Key tls_keys[] = {
    {.name = "certificates",
     .kind = Kind::tables,
     .access = at<&ListenerTls::certificates>,
     .doc = "Certificates and their keys, chosen by the name that the client asks for; the first "
            "is the default. A plain path is a file with both, `\"certs/*.pem\"` all such files.",
     .child = "listener.tls.certificates",
     .short_form = "cert",
     .example = R"([{ cert = "web.pem", key = "web.key" }])"},
    {.name = "min_version",
     .kind = Kind::word,
     .access = at<&ListenerTls::min_version>,
     .doc = "Lowest version of TLS.",
     .words = "1.2|1.3"},
    {.name = "max_version",
     .kind = Kind::word,
     .access = at<&ListenerTls::max_version>,
     .doc = "Highest version of TLS.",
     .words = "1.2|1.3"},
    {.name = "ciphers",
     .kind = Kind::string,
     .access = at<&ListenerTls::ciphers>,
     .doc = "Ciphers of TLS 1.2 in OpenSSL's words; \"\" = Mozilla's intermediate list."},
    {.name = "alpn",
     .kind = Kind::strings,
     .access = at<&ListenerTls::alpn>,
     .doc = "Protocols offered to clients, the preferred one first.",
     .example = R"(["h2", "http/1.1"])"},
    {.name = "client_ca",
     .kind = Kind::path,
     .access = at<&ListenerTls::client_ca>,
     .doc = "Authorities that client certificates must come from, as PEM."},
    {.name = "client_crl",
     .kind = Kind::path,
     .access = at<&ListenerTls::client_crl>,
     .doc = "Revoked client certificates, as PEM."},
    {.name = "client_auth",
     .kind = Kind::word,
     .access = at<&ListenerTls::client_auth>,
     .doc = "Certificates of clients: not asked for; verified where there is one; required.",
     .words = "off|optional|required"},
    {.name = "client_names",
     .kind = Kind::strings,
     .access = at<&ListenerTls::client_names>,
     .doc = "Names (SAN) of which a client certificate must have one; empty = any certificate that "
            "verifies.",
     .example = R"(["*.svc.example", "spiffe://example/ns/a"])"},
    {.name = "session_tickets",
     .kind = Kind::boolean,
     .access = at<&ListenerTls::session_tickets>,
     .doc = "Sessions are resumed by tickets, which clients keep."},
    {.name = "session_cache",
     .kind = Kind::integer,
     .access = at<&ListenerTls::session_cache>,
     .doc = "Sessions kept here for clients without tickets; 0 = none.",
     .most = 10'000'000},
    {.name = "session_ticket_key_files",
     .kind = Kind::paths,
     .access = at<&ListenerTls::session_ticket_key_files>,
     .doc = "Keys of tickets that several instances share, the newest first; empty = keys of this "
            "process alone, which rotate.",
     .example = R"(["ticket.key", "ticket.old.key"])"},
    {.name = "strict_sni",
     .kind = Kind::boolean,
     .access = at<&ListenerTls::strict_sni>,
     .doc = "A client that asks for an unknown name, or for none, gets an alert instead of the "
            "default certificate. Known are the names of the certificates, of `[listener.sni]` "
            "and of the routes."},
    {.name = "max_handshakes",
     .kind = Kind::integer,
     .access = at<&ListenerTls::max_handshakes>,
     .doc = "Handshakes at a time; 0 = unlimited.",
     .most = 1'000'000'000},
};

constexpr Key certificate_keys[] = {
    {.name = "cert",
     .kind = Kind::pattern,
     .access = at<&CertificateFile::cert>,
     .doc = "Certificate and those between it and the authority, as PEM.",
     .required = true,
     .example = R"("web.pem")"},
    {.name = "key",
     .kind = Kind::path,
     .access = at<&CertificateFile::key>,
     .doc = "Its private key, as PEM; \"\" = in the file of the certificate."},
    {.name = "key_password_file",
     .kind = Kind::path,
     .access = at<&CertificateFile::key_password_file>,
     .doc = "Passwords of the key, one a line, tried in turn; \"\" = it has none."},
};

constexpr Key route_keys[] = {
    {.name = "sni",
     .kind = Kind::server_names,
     .access = at<&Route::sni>,
     .doc = "Server names, any of them: exact, or with `*` as the first label; `\"\"` = none "
            "given, which holds for what is not TLS too.",
     .example = R"(["*.example.com", "example.com"])"},
    {.name = "alpn",
     .kind = Kind::strings,
     .access = at<&Route::alpn>,
     .doc = "Protocols, of which the client offers any.",
     .example = R"(["h2"])"},
    {.name = "source",
     .kind = Kind::peers,
     .access = at<&Route::source>,
     .doc = "Where the client comes from.",
     .example = R"(["10.0.0.0/8"])"},
    {.name = "role",
     .kind = Kind::word,
     .access = at<&Route::role>,
     .doc = "Only backends that their check reports in this role; \"\" = as the listener.",
     .words = "|primary|replica"},
    {.name = "upstream",
     .kind = Kind::string,
     .access = at<&Route::upstream>,
     .doc = "Name of the upstream that serves those clients.",
     .example = R"("other")"},
    {.name = "split",
     .kind = Kind::tables,
     .access = at<&Route::split>,
     .doc = "Instead of `upstream`: several upstreams with weights.",
     .child = "listener.route.split",
     .short_form = "upstream",
     .example = R"([{ upstream = "v1", weight = 95 }, { upstream = "v2", weight = 5 }])"},
    {.name = "tls",
     .kind = Kind::word,
     .access = at<&Route::tls>,
     .doc = "TLS ends here, or goes through to the backend untouched; \"\" = it ends here where "
            "the listener has `[listener.tls]`.",
     .words = "|terminate|passthrough"},
    {.name = "starttls",
     .kind = Kind::word,
     .access = at<&Route::starttls>,
     .doc = "As in `[[listener]]`, for the clients of this route.",
     .words = "|postgres"},
};

std::span<const TableSpec> make_tables() {
    static const TableSpec tables[] = {
        {.path = "listener.tls",
         .header = "[listener.tls]",
         .keys = tls_keys,
         .make = make_default<ListenerTls>,
         .doc = "TLS of the clients ends here: see [TLS](#tls-and-server-names)."},
        {.path = "listener.tls.certificates",
         .header = "[[listener.tls.certificates]]",
         .keys = certificate_keys,
         .make = make_default<CertificateFile>,
         .doc = "A certificate with its key.",
         .print_inline = true},
        {.path = "listener.sni",
         .header = "[listener.sni]",
         .doc = "Server names, each with the name of an upstream: `\"www.example.com\" = \"web\"`, "
                "`\"*.example.com\" = \"other\"`. Exact ones go before those with a `*`, longer "
                "ones of "
                "these before shorter ones, and all of them before the routes."},
        {.path = "listener.route",
         .header = "[[listener.route]]",
         .keys = route_keys,
         .make = make_default<Route>,
         .doc = "Clients of which all given conditions hold go there; the first table decides."},
        {.path = "listener.route.split",
         .header = "[[listener.route.split]]",
         .keys = split_part_keys(),
         .make = make_default<SplitPart>,
         .doc = "One share of those clients.",
         .print_inline = true},
    };
    return tables;
}

}  // namespace

std::span<const TableSpec> listener_extra_tables() { return make_tables(); }

}  // namespace penstock::config::keys
