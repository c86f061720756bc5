#include "app/sandbox/rules.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "app/runtime_directory.hpp"
#include "config/health.hpp"

namespace penstock::app::sandbox {

namespace {

// What libraries read when it is too late to ask: names and addresses (/etc as a whole, because
// resolv.conf is replaced, not rewritten), time zones, plugins, authorities, what the kernel tells.
constexpr const char* read_by_libraries[] = {"/etc",
                                             "/usr",
                                             "/lib",
                                             "/lib64",
                                             "/proc/self",
                                             "/proc/sys",
                                             "/proc/stat",
                                             "/proc/meminfo",
                                             "/sys/fs/cgroup",
                                             "/sys/devices/system/cpu",
                                             "/dev/null",
                                             "/dev/urandom",
                                             "/dev/random",
                                             "/run/systemd/resolve",
                                             "/run/resolvconf",
                                             "/run/NetworkManager",
                                             "/run/nscd"};
// Too much would lie beneath them for one link in them.
constexpr std::string_view too_wide[] = {"/", "/var", "/usr", "/home"};

// Often links to where something keeps them up to date, and where it replaces them.
constexpr const char* kept_up_to_date[] = {"/etc/resolv.conf", "/etc/hosts"};

constexpr const char* null_device = "/dev/null";

std::string directory_of(const std::string& path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return "/";
    return path.substr(0, slash);
}

bool has_wildcard(std::string_view text) {
    return text.find_first_of("*?[") != std::string_view::npos;
}

// `/a/b*/c.pem` -> `/a/b*`, whose directory does not depend on what matches.
std::string up_to_wildcard(const std::string& pattern) {
    const auto wild = pattern.find_first_of("*?[");
    if (wild == std::string::npos) return pattern;
    return pattern.substr(0, pattern.find('/', wild));
}

bool lies_beneath(std::string_view path, std::string_view directory) {
    if (directory == "/" || path == directory) return true;
    return path.size() > directory.size() && path.starts_with(directory) &&
           path[directory.size()] == '/';
}

bool covers(std::span<const Rule> rules, std::string_view path, Rights rights) {
    Rights missing = rights;
    for (const auto& rule : rules)
        if (lies_beneath(path, rule.path)) missing &= ~rule.rights;
    return missing == 0;
}

class Collector {
public:
    Collector(const Disk& disk, std::vector<Need>& needs) : disk_(disk), needs_(needs) {}

    void file(const char* key, const std::string& path) {
        if (path.empty()) return;
        add({key, path, read});
        if (!has_wildcard(path)) return;
        for (const auto& match : disk_.expand(path)) add({key, match, read});
    }
    void log(const char* key, const std::string& target) {
        if (target.starts_with('/')) add({key, target, write_files});
    }
    void bind(const char* key, const Endpoint& address) {
        if (!address.is_unix() || address.is_abstract()) return;
        if (!is_below_runtime(address)) return add({key, address.path(), make_sockets});
        if (!disk_.runtime_directory) return;
        if (auto real = in_runtime_directory(address, *disk_.runtime_directory))
            add({key, real->path(), make_sockets});
    }
    void peer(const char* key, const Endpoint& address) {
        if (address.is_unix() && !address.is_abstract()) add({key, address.path(), connect_to});
    }
    void certificate(const char* key, const config::CertificateFile& of) {
        file(key, of.cert);
        file(key, of.key);
        file(key, of.key_password_file);
    }

private:
    void add(Need need) {
        if (std::ranges::find(needs_, need) == needs_.end()) needs_.push_back(std::move(need));
    }

    const Disk& disk_;
    std::vector<Need>& needs_;
};

void collect(const config::Listener& listener, Collector& to) {
    for (const auto& bind : listener.bind) to.bind("listener.bind", bind.address);
    to.file("listener.allow_file", listener.allow_file);
    to.file("listener.deny_file", listener.deny_file);
    if (!listener.tls) return;
    for (const auto& certificate : listener.tls->certificates)
        to.certificate("listener.tls.certificates", certificate);
    to.file("listener.tls.client_ca", listener.tls->client_ca);
    to.file("listener.tls.client_crl", listener.tls->client_crl);
    for (const auto& file : listener.tls->session_ticket_key_files)
        to.file("listener.tls.session_ticket_key_files", file);
}

void collect(const config::Upstream& upstream, Collector& to) {
    for (const auto& backend : upstream.backends)
        to.peer("upstream.backend.address", backend.address);
    to.file("upstream.health_check.password_file", upstream.health_check.password_file);
    for (const auto& source : upstream.discovery) to.file("upstream.discovery.path", source.path);
    if (!upstream.tls) return;
    to.file("upstream.tls.ca", upstream.tls->ca);
    to.file("upstream.tls.crl", upstream.tls->crl);
    to.certificate("upstream.tls.client_certificate", upstream.tls->client_certificate);
}

void collect(const config::AdminListener& listener, Collector& to) {
    for (const auto& address : listener.bind) to.bind("admin.listener.bind", address);
    to.file("admin.listener.token_file", listener.token_file);
    to.file("admin.listener.tls.cert", listener.tls.certificate);
    to.file("admin.listener.tls.key", listener.tls.key);
}

// Where a need is met: the directory as it is written and that behind symbolic links.
std::vector<std::string> places_of(const Need& need, const Disk& disk) {
    const auto real = disk.resolve(need.path);
    if ((need.rights & write_files) != 0) {
        if (disk.is_special(need.path)) return {real};
        return {directory_of(real)};
    }
    const auto shown = up_to_wildcard(need.path);
    std::vector<std::string> places{disk.resolve(directory_of(shown))};
    if ((need.rights & make_sockets) != 0 || has_wildcard(need.path)) return places;
    if (auto behind = directory_of(real); behind != places.front())
        places.push_back(std::move(behind));
    return places;
}

bool is_too_wide(std::string_view directory) {
    return std::ranges::find(too_wide, directory) != std::end(too_wide);
}

std::vector<std::string> places_of_libraries(const Disk& disk) {
    std::vector<std::string> places;
    for (const char* path : read_by_libraries) places.push_back(disk.resolve(path));
    for (const char* path : kept_up_to_date) {
        auto real = disk.resolve(path);
        auto directory = directory_of(real);
        const bool is_wide = is_too_wide(directory) || directory == "/run";
        places.push_back(std::move(is_wide ? real : directory));
        for (auto& way : disk.links_on(path))
            if (!is_too_wide(way)) places.push_back(std::move(way));
    }
    return places;
}

bool is_about_files(const Need& need, bool confines_reading) {
    return need.rights != connect_to && (need.rights != read || confines_reading);
}

std::string_view words_for(Rights rights) {
    if ((rights & write_files) != 0) return "write to";
    if ((rights & make_sockets) != 0) return "make a socket in";
    return "read from";
}

}  // namespace

std::vector<Need> needs_of(const config::Config& config, std::span<const std::string> files,
                           std::span<const std::string> patterns, const Disk& disk) {
    std::vector<Need> needs;
    Collector to(disk, needs);
    for (const auto& file : files) to.file("the configuration", file);
    for (const auto& pattern : patterns) to.file("include", pattern);
    to.log("log.target", config.log.target);
    to.log("access_log.target", config.access_log.target);
    for (const auto& listener : config.admin.listeners) collect(listener, to);
    for (const auto& listener : config.listeners) collect(listener, to);
    for (const auto& upstream : config.upstreams) collect(upstream, to);
    return needs;
}

std::vector<Rule> rules_of(std::span<const Need> needs, const Disk& disk, bool confines_reading) {
    std::map<std::string, Rights> rights;
    rights[null_device] |= write_files;
    if (disk.runtime_directory) rights[disk.resolve(*disk.runtime_directory)] |= make_sockets;
    for (const auto& need : needs) {
        if (!is_about_files(need, confines_reading)) continue;
        for (const auto& place : places_of(need, disk)) rights[place] |= need.rights;
        if (need.rights != read) continue;
        for (const auto& directory : disk.links_on(need.path))
            if (!is_too_wide(directory)) rights[directory] |= read;
    }
    if (confines_reading)
        for (const auto& place : places_of_libraries(disk)) rights[place] |= read;
    std::vector<Rule> rules;
    for (auto& [path, granted] : rights) rules.push_back({path, granted});
    return rules;
}

std::vector<std::string> beyond(std::span<const Need> needs, std::span<const Rule> rules,
                                const Disk& disk, bool confines_reading) {
    // The kernel's are about what was there, not about its name.
    std::vector<Rule> in_force;
    std::ranges::copy_if(rules, std::back_inserter(in_force), [&](const Rule& rule) {
        const auto now = rule.place ? disk.identify(rule.path) : std::nullopt;
        return !now || *now == *rule.place;
    });
    std::vector<std::string> sentences;
    for (const auto& need : needs) {
        if (!is_about_files(need, confines_reading)) continue;
        for (const auto& place : places_of(need, disk)) {
            if (covers(in_force, place, need.rights)) continue;
            const std::string_view why =
                covers(rules, place, need.rights)
                    ? "is another directory than the one that was there when it started"
                    : "the configuration that it was started with did not name";
            sentences.push_back(fmt::format(
                "{} {}: the sandbox of this process does not let it {} {}, which {}; restart it "
                "(an upgrade will do)",
                need.key, need.path, words_for(need.rights), place, why));
            break;
        }
    }
    return sentences;
}

}  // namespace penstock::app::sandbox
