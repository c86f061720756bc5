#include "config/config.hpp"
#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr Key admin_keys[] = {
    {.name = "ready_upstreams",
     .kind = Kind::strings,
     .access = at<&Admin::ready_upstreams>,
     .doc = "`/readyz` says 503 while one of these upstreams has no available backend; empty = it "
            "tells of the process only.",
     .example = R"(["web"])"},
    {.name = "allowed_hosts",
     .kind = Kind::strings,
     .access = at<&Admin::allowed_hosts>,
     .doc = "Further names, without port, that requests over TCP may have in `Host`; the bound "
            "address and `localhost` always may. Not asked for `/metrics`, `/livez`, `/readyz`.",
     .example = R"(["proxy-1.example.com"])"},
    {.name = "listener",
     .kind = Kind::tables,
     .access = at<&Admin::listeners>,
     .doc = "Where the admin API listens; none = the unix socket of the defaults alone.",
     .child = "admin.listener"},
};

constexpr Key admin_listener_keys[] = {
    {.name = "bind",
     .kind = Kind::bind,
     .access = at<&AdminListener::bind>,
     .doc = "Addresses to listen on. A unix path may begin with `$RUNTIME`: `$RUNTIME_DIRECTORY`, "
            "else `/run/penstock`, else `$XDG_RUNTIME_DIR/penstock`.",
     .allows_runtime = true,
     .example = R"("127.0.0.1:9901")"},
    {.name = "access",
     .kind = Kind::word,
     .access = at<&AdminListener::access>,
     .doc = "What its clients may do: `metrics` = `/metrics`, `/livez` and `/readyz` alone, `read` "
            "= everything that changes nothing, `full`.",
     .words = "metrics|read|full"},
    {.name = "socket_mode",
     .kind = Kind::mode,
     .access = at<&AdminListener::socket_mode>,
     .doc = "Permissions of the unix socket: who may write to it may use the API.",
     .example = R"("0660")"},
    {.name = "socket_group",
     .kind = Kind::string,
     .access = at<&AdminListener::socket_group>,
     .doc = "Group of the unix socket; \"\" = that of the process.",
     .example = R"("adm")"},
    {.name = "token_file",
     .kind = Kind::path,
     .access = at<&AdminListener::token_file>,
     .doc = "File with the token that clients over TCP show (`Authorization: Bearer ...`), at "
            "least 22 characters. `full` over TCP needs it always, `read` beyond loopback, "
            "`metrics` never.",
     .example = R"("admin.token")"},
    {.name = "tls",
     .kind = Kind::table,
     .access = at<&AdminListener::tls>,
     .doc = "TLS over TCP; empty = none.",
     .child = "admin.listener.tls",
     .example = R"({ cert = "admin.pem", key = "admin.key" })"},
    {.name = "allow",
     .kind = Kind::peers,
     .access = at<&AdminListener::allow>,
     .doc = "Networks whose peers may connect over TCP; empty = all.",
     .example = R"(["10.0.0.0/8"])"},
};

constexpr Key admin_tls_keys[] = {
    {.name = "cert",
     .kind = Kind::path,
     .access = at<&AdminTls::certificate>,
     .doc = "Certificate and those between it and the authority, as PEM."},
    {.name = "key", .kind = Kind::path, .access = at<&AdminTls::key>, .doc = "Its key, as PEM."},
};

constexpr TableSpec tables[] = {
    {.path = "admin",
     .header = "[admin]",
     .keys = admin_keys,
     .make = make_default<Admin>,
     .doc = "The admin API: see [Admin API](#admin-api).",
     .effect = Effect::at_once},
    {.path = "admin.listener",
     .header = "[[admin.listener]]",
     .keys = admin_listener_keys,
     .make = make_default<AdminListener>,
     .doc = "Where the admin API listens, and what it allows there.",
     .identity = "bind",
     .on_add = Effect::listens,
     .on_remove = Effect::refuses_new},
    {.path = "admin.listener.tls",
     .header = "[admin.listener.tls]",
     .keys = admin_tls_keys,
     .make = make_default<AdminTls>,
     .doc = "TLS of the admin API.",
     .print_inline = true},
};

}  // namespace

std::span<const TableSpec> admin_tables() { return tables; }

}  // namespace penstock::config::keys
