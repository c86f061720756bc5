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

constexpr Key health_check_keys[] = {
    planned("type", Kind::word, R"("none")", "tcp, tls, http, exchange, redis, postgres, mysql."),
    planned("interval", Kind::duration, R"("2s")", "Between two checks."),
    planned("fast_interval", Kind::duration, R"("500ms")", "While rising or falling."),
    planned("down_interval", Kind::map, R"({ base = "1s", max = "30s" })", "While down."),
    planned("timeout", Kind::duration, R"("1s")", "One check."),
    planned("rise", Kind::integer, "2", "Successes until up."),
    planned("fall", Kind::integer, "3", "Failures until down."),
    planned("jitter", Kind::share, "0.1", "Variation of the intervals."),
    planned("initial", Kind::word, R"("check")", "State before the first result."),
    planned("port", Kind::integer, "0", "Port to check; 0 = the backend's."),
    planned("tls", Kind::word, R"("inherit")", "inherit, on, off."),
    planned("send_proxy_protocol", Kind::word, R"("auto")", "auto, off."),
    planned("http", Kind::map, "{}", "Request and expected status."),
    planned("exchange", Kind::map, "{}", "Bytes to send and to expect."),
    planned("user", Kind::string, R"("")", "For redis, postgres, mysql."),
    planned("password_file", Kind::path, R"("")", "File with the password."),
    planned("database", Kind::string, R"("")", "For postgres."),
};

constexpr Key circuit_breaker_keys[] = {
    planned("enabled", Kind::boolean, "true", "Switch."),
    planned("consecutive_failures", Kind::integer, "5", "Failures in a row that open it."),
    planned("failure_rate", Kind::share, "0.5", "Share of failures that opens it."),
    planned("min_samples", Kind::integer, "20", "Least connections for the share."),
    planned("window", Kind::duration, R"("10s")", "Time the share is taken over."),
    planned("open_for", Kind::map, R"({ base = "10s", max = "5m" })", "How long it stays open."),
    planned("half_open_trials", Kind::integer, "1", "Connections that try again."),
    planned("max_open_share", Kind::share, "0.5", "Most backends that may be open."),
    planned("early_reset_counts", Kind::boolean, "true", "Resets before the first byte count."),
    planned("dry_run", Kind::boolean, "false", "Only count and log."),
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

constexpr Key discovery_keys[] = {
    planned("type", Kind::word, R"("dns")", "dns, srv, file."),
    planned("name", Kind::string, "", "Name to resolve."),
    planned("port", Kind::integer, "", "Port of the backends."),
    planned("resolver", Kind::strings, "[]", "Name servers; empty = the system's."),
    planned("min_ttl", Kind::duration, R"("1s")", "Least time between queries."),
    planned("max_ttl", Kind::duration, R"("1m")", "Most time between queries."),
    planned("removal_delay", Kind::duration, R"("10s")", "Before a missing one drains."),
    planned("on_empty", Kind::word, R"("keep")", "keep, drain."),
    planned("retry", Kind::map, R"({ base = "1s", max = "30s" })", "After a failed query."),
    planned("max_backends", Kind::integer, "256", "Most records taken."),
    planned("path", Kind::path, R"("")", "File with backends."),
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
        {.path = "upstream.health_check",
         .header = "[upstream.health_check]",
         .keys = health_check_keys},
        {.path = "upstream.circuit_breaker",
         .header = "[upstream.circuit_breaker]",
         .keys = circuit_breaker_keys},
        {.path = "upstream.tls", .header = "[upstream.tls]", .keys = upstream_tls_keys},
        {.path = "upstream.discovery", .header = "[[upstream.discovery]]", .keys = discovery_keys},
    };
    return tables;
}

}  // namespace

std::span<const TableSpec> upstream_extra_tables() { return make_tables(); }

}  // namespace penstock::config::keys
