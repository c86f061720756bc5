#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "config/backend_file.hpp"
#include "config/check_parts.hpp"
#include "config/leads_to.hpp"
#include "config/secret_file.hpp"
#include "config/to_backends.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// One upstream and its place.
struct Subject {
    const Check& check;
    const Upstream& upstream;
    std::string table;

    [[nodiscard]] Region where(std::string_view key) const {
        const auto dot = key.rfind('.');
        if (dot == std::string_view::npos) return place(check, table, key);
        const auto inner = fmt::format("{}.{}", table, key.substr(0, dot));
        if (is_own(check, inner, key.substr(dot + 1)))
            return check.origins.of(inner, key.substr(dot + 1));
        return check.origins.of(fmt::format("defaults.upstream.{}", key.substr(0, dot)),
                                key.substr(dot + 1));
    }
    [[nodiscard]] bool is_given(std::string_view key) const {
        const auto dot = key.rfind('.');
        if (dot == std::string_view::npos) return is_own(check, table, key);
        return is_own(check, fmt::format("{}.{}", table, key.substr(0, dot)), key.substr(dot + 1));
    }
    void error(std::string_view key, std::string_view message) const {
        check.reporter.error(where(key), fmt::format("upstream '{}': {}", upstream.name, message));
    }
    /// A secret that others can read.
    void exposed(std::string_view key, std::string_view message) const {
        check.config.process.strict_permissions ? error(key, message) : warning(key, message);
    }
    void warning(std::string_view key, std::string_view message) const {
        check.reporter.warning(where(key),
                               fmt::format("upstream '{}': {}", upstream.name, message));
    }
    /// A setting without effect; one from the defaults is for those upstreams where it has one.
    void idle(std::string_view key, std::string_view message) const {
        if (is_given(key)) warning(key, message);
    }
};

bool is_database(CheckType type) {
    return type == CheckType::redis || type == CheckType::postgres || type == CheckType::mysql;
}

bool reports_role(const HealthCheck& check) {
    if (check.type == CheckType::http)
        return !check.http.primary_status.empty() || !check.http.replica_status.empty();
    return is_database(check.type);
}

void check_growing(const Subject& subject, std::string_view key, const Growing& growing) {
    if (growing.base > growing.max)
        subject.error(
            key, fmt::format("the base {} of {} is above its max {}", format_duration(growing.base),
                             key.substr(key.rfind('.') + 1), format_duration(growing.max)));
}

bool overlap(const std::vector<StatusRange>& some, const std::vector<StatusRange>& others) {
    return std::ranges::any_of(some, [&](const StatusRange& a) {
        return std::ranges::any_of(
            others, [&](const StatusRange& b) { return a.first <= b.last && b.first <= a.last; });
    });
}

void check_http(const Subject& subject) {
    const auto& check = subject.upstream.health_check;
    const auto& http = check.http;
    if (check.type != CheckType::http) {
        if (http != HttpCheck{})
            subject.idle("health_check.http", "'http' has no effect without type = \"http\"");
        return;
    }
    if (overlap(http.primary_status, http.replica_status))
        subject.error("health_check.http",
                      "a status is in 'primary_status' and in 'replica_status'");
    if (subject.check.reporter.errors() == 0 && http.status.empty() &&
        http.primary_status.empty() && http.replica_status.empty())
        subject.error("health_check.http", "no status is healthy: 'status' is empty");
    if (!http.path.starts_with('/') || http.path.find_first_of(" \t\r\n") != http.path.npos)
        subject.error("health_check.http",
                      "'path' must begin with / and have no blanks (write %20)");
    const bool is_token = !http.method.empty() && std::ranges::all_of(http.method, [](char c) {
        return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    });
    if (!is_token) subject.error("health_check.http", "'method' must be a word like GET or HEAD");
    if (http.host.find_first_of(" \t\r\n") != http.host.npos)
        subject.error("health_check.http", "'host' must not have blanks");
    if (http.method == "HEAD" && !http.body_contains.empty())
        subject.error("health_check.http", "the answer to HEAD has no body to look in");
}

void check_exchange(const Subject& subject) {
    const auto& check = subject.upstream.health_check;
    if (check.type != CheckType::exchange && check.exchange != ExchangeCheck{})
        subject.idle("health_check.exchange",
                     "'exchange' has no effect without type = \"exchange\"");
}

void check_login(const Subject& subject) {
    const auto& check = subject.upstream.health_check;
    if (!is_database(check.type)) {
        for (const auto& [key, value] :
             {std::pair{"health_check.user", &check.user},
              std::pair{"health_check.password_file", &check.password_file}})
            if (!value->empty())
                subject.idle(key, fmt::format("'{}' has no effect without type = \"redis\", "
                                              "\"postgres\" or \"mysql\"",
                                              std::string_view(key).substr(13)));
    }
    if (check.type != CheckType::postgres && !check.database.empty())
        subject.idle("health_check.database",
                     "'database' has no effect without type = \"postgres\"");
    if (!is_database(check.type) || check.password_file.empty()) return;
    const auto said = [&](std::string_view what) {
        return fmt::format("'password_file': {}: {}", check.password_file, what);
    };
    if (const auto password = read_password(check.password_file); !password)
        subject.error("health_check.password_file", said(password.error()));
    else if (password->exposed)
        subject.exposed("health_check.password_file", said(exposed_secret));
}

/// What the library of PostgreSQL cannot do as the traffic does it.
void check_postgres(const Subject& subject) {
    const auto& upstream = subject.upstream;
    if (!checks_verify(upstream)) return;
    if (upstream.tls->verify && upstream.tls->ca.empty())
        subject.error("health_check.type",
                      "checks of type \"postgres\" do not know the system's authorities; give 'ca' "
                      "in [upstream.tls] (on Debian /etc/ssl/certs/ca-certificates.crt), or tls = "
                      "\"off\" in [upstream.health_check]");
    if (!upstream.tls->client_certificate.key_password_file.empty())
        subject.error("health_check.type",
                      "checks of type \"postgres\" cannot use the encrypted key of "
                      "'client_certificate' in [upstream.tls]; use one without key_password_file, "
                      "or type = \"tls\"");
}

/// Client libraries make their connections by themselves.
void check_header_of_checks(const Subject& subject) {
    const auto type = subject.upstream.health_check.type;
    if (header_of_checks(subject.upstream) == SendProxyProtocol::off) return;
    if (type == CheckType::postgres || type == CheckType::mysql)
        subject.error("health_check.type",
                      fmt::format("checks of type \"{}\" cannot begin with the PROXY header that "
                                  "'send_proxy_protocol' gives the backends; use type = \"tcp\" or "
                                  "\"exchange\", or send_proxy_protocol = \"off\" in "
                                  "[upstream.health_check] with a 'port' that expects none",
                                  type == CheckType::mysql ? "mysql" : "postgres"));
}

void check_tls_of_checks(const Subject& subject) {
    const auto& check = subject.upstream.health_check;
    check_header_of_checks(subject);
    if (check.type == CheckType::postgres) check_postgres(subject);
    if (check.type == CheckType::tcp && check.tls == CheckTls::on)
        subject.idle("health_check.tls",
                     "'tls' has no effect on checks of type \"tcp\"; use type = \"tls\"");
    if (check.type != CheckType::mysql) return;
    if (check.tls == CheckTls::on)
        subject.error("health_check.tls",
                      "this type of check does not speak TLS; use type = \"tls\" or \"exchange\"");
    else if (checks_speak_tls(subject.upstream))
        subject.error("health_check.type",
                      "checks of type \"mysql\" do not speak TLS, and these backends get it "
                      "([upstream.tls]); use type = \"tls\", or tls = \"off\" in "
                      "[upstream.health_check] with a 'port' that is plain");
}

void check_without_checks(const Subject& subject) {
    const auto& upstream = subject.upstream;
    if (upstream.health_check.type != CheckType::none) {
        if (upstream.on_backend_down == OnBackendDown::keep && upstream.down_grace > Duration{})
            subject.idle("down_grace",
                         "'down_grace' has no effect with on_backend_down = \"keep\"");
        return;
    }
    if (upstream.on_backend_down != OnBackendDown::keep)
        subject.idle("on_backend_down", "'on_backend_down' has no effect without a health_check");
    if (upstream.on_role_change != OnRoleChange::keep)
        subject.idle("on_role_change", "'on_role_change' has no effect without a health_check");
}

std::string describe(const std::string& path, const std::vector<BackendFileError>& errors) {
    const auto& first = errors.front();
    if (first.line == 0) return fmt::format("{}: {}", path, first.message);
    return fmt::format("{}:{}:{}: {}", path, first.line, first.column, first.message);
}

void check_source(const Subject& subject, std::size_t i) {
    const auto& source = subject.upstream.discovery[i];
    const auto table = fmt::format("{}.discovery[{}]", subject.table, i);
    auto& reporter = subject.check.reporter;
    const auto& origins = subject.check.origins;
    const auto say = [&](std::string_view message) {
        return fmt::format("upstream '{}': {}", subject.upstream.name, message);
    };
    const auto idle = [&](std::string_view key, std::string_view type) {
        if (is_own(subject.check, table, key))
            reporter.warning(origins.of(table, key),
                             say(fmt::format("'{}' has no effect with type = \"{}\"", key, type)));
    };
    const auto required = [&](std::string_view key, std::string_view type) {
        reporter.error(origins.of(table, ""),
                       say(fmt::format("discovery of type \"{}\" needs '{}'", type, key)));
    };
    if (source.type == DiscoveryType::file) {
        if (source.path.empty())
            required("path", "file");
        else if (const auto read = read_backend_file(source.path, source.max_backends); !read)
            reporter.error(origins.of(table, "path"), say(describe(source.path, read.error())));
        if (!source.name.empty()) idle("name", "file");
        if (source.port != 0) idle("port", "file");
    } else {
        const std::string_view type = source.type == DiscoveryType::dns ? "dns" : "srv";
        if (source.name.empty())
            required("name", type);
        else if (!Endpoint::looks_like_host_name(fmt::format("{}:1", source.name)))
            reporter.error(origins.of(table, "name"), say("'name' is no host name"));
        if (source.type == DiscoveryType::dns && source.port == 0) required("port", type);
        if (source.type == DiscoveryType::srv && source.port != 0) idle("port", type);
        if (!source.path.empty()) idle("path", type);
    }
    if (source.min_ttl > source.max_ttl)
        reporter.error(
            origins.of(table, "min_ttl"),
            say(fmt::format("'min_ttl' {} is above 'max_ttl' {}", format_duration(source.min_ttl),
                            format_duration(source.max_ttl))));
    if (source.retry.base > source.retry.max)
        reporter.error(origins.of(table, "retry"), say("the base of 'retry' is above its max"));
    const auto is_same = [&](const Discovery& other) {
        return other.type == source.type && other.name == source.name &&
               other.port == source.port && other.path == source.path &&
               other.resolver == source.resolver;
    };
    for (std::size_t j = 0; j < i; ++j)
        if (is_same(subject.upstream.discovery[j]))
            return reporter.error(origins.of(table, ""), say("the same source twice"),
                                  origins.of(fmt::format("{}.discovery[{}]", subject.table, j), ""),
                                  "the first one");
}

void check_role(const Check& check, const Listener& listener, std::size_t i,
                const Destination& destination) {
    const auto upstream =
        std::ranges::find(check.config.upstreams, destination.upstream, &Upstream::name);
    if (upstream == check.config.upstreams.end() || reports_role(upstream->health_check)) return;
    const auto table = listener_path(i);
    const bool is_routed = destination.part.starts_with("route");
    const auto route = destination.part.substr(0, destination.part.find(']') + 1);
    check.reporter.error(
        is_routed ? part_place(check, table, route, "role") : place(check, table, "role"),
        fmt::format("listener '{}' asks for the {} of upstream '{}', whose health_check reports no "
                    "role; use type = \"redis\", \"postgres\", \"mysql\", or \"http\" with "
                    "primary_status and replica_status",
                    listener.name, name_of(destination.role), destination.upstream));
}

}  // namespace

void check_health(const Check& check) {
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) {
        const Subject subject{check, check.config.upstreams[i], upstream_path(i)};
        check_growing(subject, "health_check.down_interval",
                      subject.upstream.health_check.down_interval);
        check_growing(subject, "circuit_breaker.open_for",
                      subject.upstream.circuit_breaker.open_for);
        check_http(subject);
        check_exchange(subject);
        check_login(subject);
        check_tls_of_checks(subject);
        check_without_checks(subject);
        for (std::size_t j = 0; j < subject.upstream.discovery.size(); ++j)
            check_source(subject, j);
    }
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        for (const auto& destination : destinations(listener))
            if (destination.role != Role::none) check_role(check, listener, i, destination);
    }
}

}  // namespace penstock::config
