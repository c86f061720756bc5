#include "app/tls/material.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "balancer/hash.hpp"
#include "base/clock.hpp"
#include "config/include.hpp"
#include "config/secret_file.hpp"
#include "config/source.hpp"

namespace penstock::app {

namespace {

using config::CertificateFile;
using net::tls::KeyPair;

constexpr auto soon = std::chrono::days(21);

net::tls::Version version_of(config::TlsVersion version) noexcept {
    return version == config::TlsVersion::tls12 ? net::tls::Version::tls12
                                                : net::tls::Version::tls13;
}

net::tls::ClientAuth auth_of(config::ClientAuth auth) noexcept {
    switch (auth) {
        case config::ClientAuth::off: return net::tls::ClientAuth::off;
        case config::ClientAuth::optional: return net::tls::ClientAuth::optional;
        case config::ClientAuth::required: return net::tls::ClientAuth::required;
    }
    std::unreachable();
}

// Made in their places: short strings leave their bytes where they are moved from.
std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    lines.reserve(static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1);
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        const bool with_cr = end > start && text[end - 1] == '\r';
        const std::size_t size = end - start - (with_cr ? 1 : 0);
        if (size > 0) lines.emplace_back(text, start, size);
        start = end + 1;
    }
    return lines;
}

/// Reads files one after the other and remembers what they were; the first problem counts.
class Files {
public:
    explicit Files(bool strict) : strict_(strict) {}

    std::string text(const std::string& path) {
        if (path.empty() || !problem_.empty()) return {};
        auto text = config::read_source(path);
        if (!text) {
            problem_ = fmt::format("{}: {}", path, text.error());
            return {};
        }
        return *std::move(text);
    }
    std::string secret(const std::string& path, config::Fifo fifo = config::Fifo::refused) {
        if (path.empty() || !problem_.empty()) return {};
        auto secret = config::read_secret(path, fifo);
        if (!secret)
            problem_ = fmt::format("{}: {}", path, secret.error());
        else if (secret->exposed && strict_)
            problem_ =
                fmt::format("{}: {} (process.strict_permissions)", path, config::exposed_secret);
        else if (secret->exposed)
            warnings_.push_back(fmt::format("{}: {}", path, config::exposed_secret));
        return problem_.empty() ? std::move(secret->text) : std::string();
    }
    std::vector<std::string> passwords(const std::string& path) {
        if (path.empty()) return {};
        std::string text = secret(path, config::Fifo::allowed);
        auto lines = lines_of(text);
        net::tls::wipe(text);
        if (lines.empty()) fail(fmt::format("{}: has no password in it", path));
        return lines;
    }
    KeyPair pair(const std::string& cert, const CertificateFile& from) {
        KeyPair pair{.cert_file = cert, .key_file = from.key.empty() ? cert : from.key};
        pair.cert_pem = text(cert);
        pair.key_pem = secret(pair.key_file);
        pair.passwords = passwords(from.key_password_file);
        return pair;
    }
    void fail(std::string problem) {
        if (problem_.empty()) problem_ = std::move(problem);
    }

    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    [[nodiscard]] std::vector<std::string>& warnings() noexcept { return warnings_; }

private:
    bool strict_;
    std::string problem_;
    std::vector<std::string> warnings_;
};

std::vector<KeyPair> pairs_of(const std::vector<CertificateFile>& certificates, Files& files) {
    std::vector<KeyPair> pairs;
    for (const auto& certificate : certificates) {
        if (!config::has_wildcard(certificate.cert)) {
            pairs.push_back(files.pair(certificate.cert, certificate));
            continue;
        }
        const auto matches = config::matching_paths(certificate.cert);
        if (matches.empty()) files.fail(fmt::format("{}: no file matches", certificate.cert));
        for (const auto& match : matches) pairs.push_back(files.pair(match, certificate));
    }
    return pairs;
}

using TicketKeyList = std::vector<net::tls::TicketKey>;

void wipe(net::tls::TicketKey& key) noexcept { penstock::wipe(&key, sizeof key); }

std::shared_ptr<const TicketKeyList> ticket_keys_of(const std::vector<std::string>& paths,
                                                    Files& files) {
    if (paths.empty()) return nullptr;
    const std::shared_ptr<TicketKeyList> keys(new TicketKeyList, [](TicketKeyList* dropped) {
        for (auto& key : *dropped) wipe(key);
        delete dropped;
    });
    keys->reserve(paths.size());  // growing would leave copies behind
    for (const auto& path : paths) {
        std::string bytes = files.secret(path);
        if (!files.problem().empty()) break;
        auto key = net::tls::parse_ticket_key(bytes);
        net::tls::wipe(bytes);
        if (!key) {
            files.fail(fmt::format("{}: {}", path, key.error()));
            break;
        }
        keys->push_back(*key);
        wipe(*key);
    }
    return keys;
}

void warn_of_expiry(const auto& context, std::vector<std::string>& warnings) {
    const WallTime now = wall_now();
    const auto add = [&](const auto& what, net::tls::SystemTime end) {
        // What has expired the context says itself.
        if (end <= now) return;
        if (auto warning = expiry_warning(what, now)) warnings.push_back(*std::move(warning));
    };
    for (const auto& certificate : context.certificates()) add(certificate, certificate.not_after);
    if constexpr (requires { context.revocations(); })
        for (const auto& list : context.revocations()) add(list, list.next_update);
}

// One file may stand in several places.
void say_once(std::vector<std::string>& warnings) {
    std::ranges::sort(warnings);
    const auto repeated = std::ranges::unique(warnings);
    warnings.erase(repeated.begin(), repeated.end());
}

// What is said of it beyond the context, if all went well.
template <typename Material>
std::expected<Material, std::string> complete(Material material, Files& files,
                                              std::uint64_t digest) {
    if (!files.problem().empty()) return std::unexpected(files.problem());
    material.warnings = std::move(files.warnings());
    std::ranges::copy(material.context->warnings(), std::back_inserter(material.warnings));
    warn_of_expiry(*material.context, material.warnings);
    say_once(material.warnings);
    material.digest = digest;
    return material;
}

// The names that clients may ask for although no certificate bears them.
std::vector<std::string> known_names(const config::Listener& listener) {
    std::vector<std::string> names;
    for (const auto& entry : listener.sni) names.push_back(entry.name);
    for (const auto& route : listener.routes)
        std::ranges::copy_if(route.sni, std::back_inserter(names),
                             [](const std::string& name) { return !name.empty(); });
    return names;
}

net::tls::ServerOptions options_of(const config::Listener& listener, Files& files) {
    const config::ListenerTls& tls = *listener.tls;
    return {.name = listener.name,
            .certificates = pairs_of(tls.certificates, files),
            .min_version = version_of(tls.min_version),
            .max_version = version_of(tls.max_version),
            .ciphers = tls.ciphers,
            .alpn = tls.alpn,
            .client_ca_file = tls.client_ca,
            .client_ca_pem = files.text(tls.client_ca),
            .client_crl_file = tls.client_crl,
            .client_crl_pem = files.text(tls.client_crl),
            .client_auth = auth_of(tls.client_auth),
            .client_names = tls.client_names,
            .session_tickets = tls.session_tickets,
            .session_cache = tls.session_cache,
            .strict_sni = tls.strict_sni,
            .known_names = known_names(listener)};
}

void add_path(const std::string& path, TlsPaths& to) {
    if (path.empty()) return;
    if (config::has_wildcard(path)) {
        to.patterns.push_back(path);
        std::ranges::move(config::matching_paths(path), std::back_inserter(to.files));
    } else {
        to.files.push_back(path);
    }
}

// A FIFO has its password for the load alone: whoever else read it would take it away.
bool is_fifo(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::is_fifo(path, ignored);
}

void add_certificate(const CertificateFile& certificate, TlsPaths& to) {
    add_path(certificate.cert, to);
    add_path(certificate.key, to);
    if (!is_fifo(certificate.key_password_file)) add_path(certificate.key_password_file, to);
}

}  // namespace

std::optional<std::string> expiry_warning(const net::tls::CertificateInfo& certificate,
                                          WallTime now) {
    const auto left = certificate.not_after - now;
    if (left >= soon) return std::nullopt;
    if (left <= std::chrono::seconds::zero())
        return fmt::format("{}: the certificate has expired", certificate.file);
    const auto days = std::chrono::floor<std::chrono::days>(left).count();
    return fmt::format("{}: the certificate expires in {} day{}", certificate.file, days,
                       days == 1 ? "" : "s");
}

std::optional<std::string> expiry_warning(const net::tls::RevocationInfo& list, WallTime now) {
    using std::chrono::hours;
    constexpr auto longest = std::chrono::days(3);
    if (list.next_update == net::tls::SystemTime::max()) return std::nullopt;
    const auto life = (list.next_update - list.last_update) / 3;
    const auto left = list.next_update - now;
    if (left >= std::min<net::tls::SystemTime::duration>(life, longest)) return std::nullopt;
    const auto what = fmt::format("{}: the list of revocations of {}", list.file, list.issuer);
    if (left <= std::chrono::seconds::zero()) return what + " has expired";
    return fmt::format("{} expires in {} h", what, std::chrono::floor<hours>(left).count());
}

TlsContexts TlsMaterial::contexts() const {
    TlsContexts contexts;
    for (const auto& [name, material] : listeners)
        contexts.listeners.emplace(name, material.context);
    for (const auto& [name, material] : upstreams)
        contexts.upstreams.emplace(name, material.context);
    for (const auto& [name, material] : admin) contexts.admin.emplace(name, material.context);
    return contexts;
}

std::vector<std::string> TlsMaterial::warnings() const {
    std::vector<std::string> all;
    const auto add = [&all](const auto& owners, std::string_view kind) {
        for (const auto& [name, material] : owners)
            for (const auto& warning : material.warnings)
                all.push_back(fmt::format("{} {}: {}", kind, name, warning));
    };
    add(listeners, "listener");
    add(upstreams, "upstream");
    add(admin, "admin listener");
    return all;
}

std::expected<ServerMaterial, std::string> load_server(const config::Listener& listener,
                                                       bool strict, TicketKeyBook& tickets) {
    // First: what changes while the rest is read is another change.
    const std::uint64_t digest = digest_of(tls_paths(listener));
    Files files(strict);
    auto options = options_of(listener, files);
    ServerMaterial material;
    material.ticket_keys = ticket_keys_of(listener.tls->session_ticket_key_files, files);
    if (files.problem().empty()) {
        auto context = net::tls::ServerContext::make(options, tickets.of(listener.name));
        if (context)
            material.context = *std::move(context);
        else
            files.fail(context.error());
    }
    for (auto& pair : options.certificates) net::tls::wipe(pair);
    return complete(std::move(material), files, digest);
}

std::expected<AdminMaterial, std::string> load_admin(const AdminDoor& door, bool strict) {
    const std::uint64_t digest = digest_of(tls_paths(door));
    Files files(strict);
    KeyPair pair = files.pair(door.tls.certificate, {.key = door.tls.key});
    AdminMaterial material;
    if (files.problem().empty()) {
        auto context = net::tls::OwnServerContext::make(pair);
        if (context)
            material.context = *std::move(context);
        else
            files.fail(context.error());
    }
    net::tls::wipe(pair);
    return complete(std::move(material), files, digest);
}

std::expected<ClientMaterial, std::string> load_client(const config::Upstream& upstream,
                                                       bool strict) {
    const std::uint64_t digest = digest_of(tls_paths(upstream));
    const config::UpstreamTls& tls = *upstream.tls;
    Files files(strict);
    net::tls::ClientOptions options{.ca_file = tls.ca,
                                    .ca_pem = files.text(tls.ca),
                                    .crl_file = tls.crl,
                                    .crl_pem = files.text(tls.crl),
                                    .verify = tls.verify,
                                    .session_reuse = tls.session_reuse,
                                    .alpn = tls.alpn,
                                    .min_version = version_of(tls.min_version)};
    if (!tls.client_certificate.cert.empty())
        options.certificate.push_back(
            files.pair(tls.client_certificate.cert, tls.client_certificate));
    ClientMaterial material;
    if (files.problem().empty()) {
        auto context = net::tls::ClientContext::make(options);
        if (context)
            material.context = *std::move(context);
        else
            files.fail(context.error());
    }
    for (auto& pair : options.certificate) net::tls::wipe(pair);
    return complete(std::move(material), files, digest);
}

bool same_tls(const config::Listener& one, const config::Listener& other) {
    return one.tls == other.tls && one.sni == other.sni && one.routes == other.routes;
}

bool same_tls(const config::Upstream& one, const config::Upstream& other) {
    return one.tls == other.tls;
}

bool same_tls(const AdminDoor& one, const AdminDoor& other) { return one.tls == other.tls; }

namespace {

// What is known of `settings`, if that still holds; else what `load` gives.
template <typename Settings, typename Material, typename Load>
std::expected<Material, std::string> known_or_loaded(
    const std::map<std::string, Loaded<Settings, Material>>& known, const Settings& settings,
    bool strict, Load load) {
    if (const auto found = known.find(settings.name); found != known.end()) {
        const auto& before = found->second;
        if (before.strict == strict && same_tls(*before.settings, settings) &&
            before.material.digest == digest_of(tls_paths(settings)))
            return before.material;
    }
    return load();
}

}  // namespace

std::expected<TlsMaterial, std::vector<std::string>> load_tls(const config::Config& config,
                                                              TicketKeyBook& tickets,
                                                              const LoadedTls& known) {
    TlsMaterial all;
    std::vector<std::string> errors;
    const bool strict = config.process.strict_permissions;
    const auto add = [&](auto& to, std::string_view kind, const std::string& name,
                         auto&& material) {
        if (material)
            to.emplace(name, *std::move(material));
        else
            errors.push_back(fmt::format("{} {}: {}", kind, name, material.error()));
    };
    for (const auto& listener : config.listeners)
        if (listener.tls)
            add(all.listeners, "listener", listener.name,
                known_or_loaded(known.listeners, listener, strict,
                                [&] { return load_server(listener, strict, tickets); }));
    for (const auto& upstream : config.upstreams)
        if (upstream.tls)
            add(all.upstreams, "upstream", upstream.name,
                known_or_loaded(known.upstreams, upstream, strict,
                                [&] { return load_client(upstream, strict); }));
    for (const auto& door : admin_doors(config.admin))
        add(all.admin, "admin listener", door.name,
            known_or_loaded(known.admin, door, strict, [&] { return load_admin(door, strict); }));
    if (!errors.empty()) return std::unexpected(std::move(errors));
    return all;
}

std::uint64_t digest_of(const TlsPaths& paths) {
    std::uint64_t digest = paths.files.size();
    for (const auto& path : paths.files) {
        auto text = config::read_source(path);
        digest = balancer::hash64(path, digest + (text ? 1 : 0));
        if (!text) continue;
        digest = balancer::hash64(*text, digest);
        net::tls::wipe(*text);
    }
    return digest;
}

TlsPaths tls_paths(const config::Listener& listener) {
    TlsPaths paths;
    if (!listener.tls) return paths;
    for (const auto& certificate : listener.tls->certificates) add_certificate(certificate, paths);
    add_path(listener.tls->client_ca, paths);
    add_path(listener.tls->client_crl, paths);
    for (const auto& path : listener.tls->session_ticket_key_files) add_path(path, paths);
    return paths;
}

TlsPaths tls_paths(const config::Upstream& upstream) {
    TlsPaths paths;
    if (!upstream.tls) return paths;
    add_certificate(upstream.tls->client_certificate, paths);
    add_path(upstream.tls->ca, paths);
    add_path(upstream.tls->crl, paths);
    return paths;
}

TlsPaths tls_paths(const AdminDoor& door) {
    TlsPaths paths;
    add_path(door.tls.certificate, paths);
    add_path(door.tls.key, paths);
    return paths;
}

std::string name_of(const config::AdminListener& listener) {
    return listener.bind.front().to_string();
}

std::vector<AdminDoor> admin_doors(const config::Admin& admin) {
    std::vector<AdminDoor> doors;
    for (const auto& listener : admin.listeners)
        if (!listener.tls.certificate.empty()) doors.push_back({name_of(listener), listener.tls});
    return doors;
}

}  // namespace penstock::app
