#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/diagnostic.hpp"
#include "config/leads_to.hpp"
#include "config/server_name.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// The TLS of one listener or upstream, for messages.
struct Subject {
    const Check& check;
    std::string table;
    std::string name;  // "listener 'web'"

    [[nodiscard]] Region where(std::string_view key) const {
        const auto path = fmt::format("tls.{}", key);
        const auto defaults = "defaults." + table.substr(0, table.find('['));
        const bool known =
            is_own(check, table, path) || check.origins.find(defaults + '.' + path) != nullptr;
        return place(check, table, known ? path : "tls");
    }
    void error(std::string_view key, std::string_view message) const {
        check.reporter.error(where(key), fmt::format("{}: {}", name, message));
    }
    void warning(std::string_view key, std::string_view message) const {
        check.reporter.warning(where(key), fmt::format("{}: {}", name, message));
    }
};

/// RFC 7301 3.1.
void check_alpn(const Subject& subject, const std::vector<std::string>& protocols) {
    for (std::size_t i = 0; i < protocols.size(); ++i)
        if (protocols[i].empty() || protocols[i].size() > 255)
            subject.error(fmt::format("alpn[{}]", i),
                          fmt::format("a protocol in 'alpn' has 1 to 255 bytes, not {}",
                                      protocols[i].size()));
}

void check_certificates(const Subject& subject, const ListenerTls& tls) {
    if (tls.certificates.empty())
        subject.error("certificates",
                      "[listener.tls] without certificates; write certificates = [{ cert = "
                      "\"web.pem\", key = \"web.key\" }]");
    for (std::size_t i = 0; i < tls.certificates.size(); ++i) {
        const auto& file = tls.certificates[i];
        const auto at = [&](std::string_view key) {
            return fmt::format("certificates[{}].{}", i, key);
        };
        if (file.cert.empty()) subject.error(at("cert"), "'cert' in 'certificates' is empty");
        if (!file.key.empty() && file.cert.find_first_of("*?[") != std::string::npos)
            subject.error(at("key"),
                          fmt::format("{} may be several files, of which each has its key in "
                                      "itself; leave 'key' out",
                                      quote(file.cert)));
    }
}

void check_client_auth(const Subject& subject, const ListenerTls& tls) {
    constexpr std::string_view needs = "needs client_auth = \"optional\" or \"required\"";
    if (tls.client_auth != ClientAuth::off) {
        if (tls.client_ca.empty())
            subject.error("client_auth",
                          "'client_auth' needs 'client_ca', the authorities that certificates of "
                          "clients must come from");
    } else {
        if (!tls.client_names.empty())
            subject.error("client_names", fmt::format("'client_names' {}", needs));
        if (!tls.client_crl.empty())
            subject.error("client_crl", fmt::format("'client_crl' {}", needs));
        if (!tls.client_ca.empty())
            subject.warning("client_ca", "'client_ca' has no effect with client_auth = \"off\"");
    }
    for (std::size_t i = 0; i < tls.client_names.size(); ++i)
        if (tls.client_names[i].empty())
            subject.error(fmt::format("client_names[{}]", i), "a name in 'client_names' is empty");
}

/// Everybody is passed through: nobody's TLS ends here.
bool is_idle(const Listener& listener) {
    if (listener.routes.empty() || !listener.sni.empty() || !listener.upstream.empty() ||
        !listener.split.empty())
        return false;
    return std::ranges::all_of(
        listener.routes, [](const Route& route) { return route.tls == RouteTls::passthrough; });
}

void check_listener(const Subject& subject, const Listener& listener) {
    const auto& tls = *listener.tls;
    check_certificates(subject, tls);
    check_client_auth(subject, tls);
    check_alpn(subject, tls.alpn);
    if (tls.min_version > tls.max_version)
        subject.error("min_version", "'min_version' is above 'max_version'");
    // Only the names of TLS 1.3's begin so.
    const bool only_tls12 = !tls.ciphers.empty() && tls.ciphers.find("TLS_") == std::string::npos;
    if (only_tls12 && tls.min_version == TlsVersion::tls13)
        subject.warning("ciphers", "'ciphers' is about TLS 1.2, which min_version rules out");
    if (is_idle(listener))
        subject.warning("certificates",
                        "every route passes TLS through and there is no other way, so "
                        "[listener.tls] has no effect");
}

// Without a name of its own each backend is to bear the name that it was found by.
void check_names(const Subject& subject, const Upstream& upstream) {
    const auto& tls = *upstream.tls;
    if (!tls.verify || !tls.server_name.empty()) return;
    if (std::ranges::any_of(upstream.backends, [](const Backend& backend) {
            return backend.host.empty() && backend.address.is_unix();
        }))
        subject.error("server_name",
                      "a backend on a unix socket has no name that its certificate could bear; "
                      "give 'server_name' in [upstream.tls]");
    if (std::ranges::find(upstream.discovery, DiscoveryType::srv, &Discovery::type) !=
        upstream.discovery.end())
        subject.warning("server_name",
                        "with type = \"srv\" the names that certificates must bear come from DNS, "
                        "so whoever can forge its answers chooses them; give 'server_name' in "
                        "[upstream.tls]");
}

void check_upstream(const Subject& subject, const UpstreamTls& tls) {
    if (!tls.verify)
        subject.warning("verify",
                        "verify = false: whoever answers at a backend's address is believed, and "
                        "may read and change everything");
    if (!tls.verify && !tls.crl.empty())
        subject.warning("crl", "'crl' has no effect with verify = false");
    if (!tls.server_name.empty() && !parse_local_address(tls.server_name))
        if (const auto valid = check_server_name(tls.server_name); !valid)
            subject.error("server_name", fmt::format("the server_name {} {}",
                                                     quote(tls.server_name), valid.error()));
    if (tls.server_name.find('*') != std::string::npos)
        subject.error("server_name", "the server_name is one name, without *");
    const auto& own = tls.client_certificate;
    if (own.cert.empty() && own != CertificateFile{})
        subject.error("client_certificate",
                      "'client_certificate' without 'cert'; write { cert = \"proxy.pem\", key = "
                      "\"proxy.key\" }");
    check_alpn(subject, tls.alpn);
}

void check_warm_starttls(const Check& check, std::size_t i) {
    const auto& upstream = check.config.upstreams[i];
    const bool is_asked = std::ranges::any_of(
        check.config.listeners,
        [&](const Listener& listener) { return leads_starttls_to(listener, upstream.name); });
    if (upstream.pool.min_idle == 0 || !is_asked) return;
    check.reporter.error(
        place(check, upstream_path(i), "pool"),
        fmt::format("upstream '{}': warm connections have their TLS handshake done, but these "
                    "backends want to be asked for TLS first (starttls); do without the pool "
                    "(min_idle = 0)",
                    upstream.name));
}

}  // namespace

void check_tls(const Check& check) {
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        if (listener.tls)
            check_listener({check, listener_path(i), fmt::format("listener '{}'", listener.name)},
                           listener);
    }
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) {
        const auto& upstream = check.config.upstreams[i];
        if (!upstream.tls) continue;
        const Subject subject{check, upstream_path(i), fmt::format("upstream '{}'", upstream.name)};
        check_upstream(subject, *upstream.tls);
        check_names(subject, upstream);
        check_warm_starttls(check, i);
    }
}

}  // namespace penstock::config
