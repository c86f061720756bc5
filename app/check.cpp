#include "app/check.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "app/access_files.hpp"
#include "app/capacity.hpp"
#include "app/diagnostics.hpp"
#include "app/monitors.hpp"
#include "app/tls/material.hpp"
#include "app/with_commas.hpp"
#include "config/print.hpp"
#include "proxy/session.hpp"

namespace penstock::app {

namespace {

namespace json = boost::json;

struct Certificate {
    std::string owner;
    net::tls::CertificateInfo info;
};

struct Outcome {
    config::LoadResult loaded;
    std::expected<Capacity, std::string> capacity = std::unexpected(std::string());
    std::vector<Certificate> certificates{};  // the first to expire first
    bool ok = false;
};

// Two sockets, the session, and the two frames of its pumps; buffers are borrowed while needed.
constexpr std::size_t memory_per_connection = 1024;
static_assert(sizeof(proxy::Session) < memory_per_connection);

std::string counted(std::size_t n, std::string_view what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

std::size_t count_backends(const config::Config& config) {
    std::size_t n = 0;
    for (const auto& upstream : config.upstreams) n += upstream.backends.size();
    return n;
}

std::int64_t days_left(const net::tls::CertificateInfo& certificate) {
    return std::chrono::floor<std::chrono::days>(certificate.not_after - wall_now()).count();
}

/// `; certificate a.pem: 61 days`; of several files the first to expire. One may hold a chain.
std::string expiry_text(const std::vector<Certificate>& certificates) {
    if (certificates.empty()) return {};
    const auto& first = certificates.front().info;
    std::set<std::string> files;
    for (const auto& certificate : certificates) files.insert(certificate.info.file);
    return fmt::format("; {}{}: {} days",
                       files.size() == 1
                           ? std::string("certificate ")
                           : fmt::format("{} certificates, first to expire ", files.size()),
                       std::filesystem::path(first.file).filename().string(), days_left(first));
}

std::string summary(const config::Config& config, const Capacity& capacity) {
    const bool has_tls =
        std::ranges::any_of(config.listeners, [](const auto& of) { return of.tls.has_value(); }) ||
        std::ranges::any_of(config.upstreams, [](const auto& of) { return of.tls.has_value(); });
    return fmt::format(
        "{}, {}, {}; {}; {} connections ({}); at most {} bytes per idle connection{}",
        counted(config.listeners.size(), "listener"), counted(config.upstreams.size(), "upstream"),
        counted(count_backends(config), "backend"), counted(capacity.workers, "worker"),
        with_commas(capacity.limit.connections), capacity.limit.cause,
        with_commas(memory_per_connection),
        has_tls ? ", and up to 16 KiB for each side of it in TLS" : "");
}

json::object to_json(const config::Diagnostic& diagnostic) {
    json::object object{{"severity", config::to_string(diagnostic.severity)},
                        {"file", diagnostic.file},
                        {"line", diagnostic.line},
                        {"column", diagnostic.column},
                        {"message", diagnostic.message}};
    if (!diagnostic.related.empty()) {
        json::array related;
        for (const auto& other : diagnostic.related) related.push_back(to_json(other));
        object["related"] = std::move(related);
    }
    return object;
}

json::object to_json(const Certificate& certificate) {
    return {{"owner", certificate.owner},
            {"file", certificate.info.file},
            {"days_left", days_left(certificate.info)}};
}

void print_json(const Outcome& outcome) {
    json::array diagnostics;
    for (const auto& diagnostic : outcome.loaded.diagnostics)
        diagnostics.push_back(to_json(diagnostic));
    json::object object{{"ok", outcome.ok}, {"diagnostics", std::move(diagnostics)}};
    const auto& config = outcome.loaded.config;
    if (outcome.loaded.ok() && outcome.capacity) {
        object["listeners"] = config.listeners.size();
        object["upstreams"] = config.upstreams.size();
        object["backends"] = count_backends(config);
        object["workers"] = outcome.capacity->workers;
        object["connections_limit"] = outcome.capacity->limit.connections;
        object["connections_limit_cause"] = outcome.capacity->limit.cause;
        object["memory_per_connection_bytes"] = memory_per_connection;
        json::array certificates;
        for (const auto& certificate : outcome.certificates)
            certificates.push_back(to_json(certificate));
        object["certificates"] = std::move(certificates);
    } else if (outcome.loaded.ok()) {
        object["error"] = outcome.capacity.error();
    }
    fmt::print("{}\n", json::serialize(object));
}

void print_text(const Outcome& outcome, bool with_summary) {
    print_diagnostics(outcome.loaded.diagnostics);
    if (outcome.loaded.ok() && !outcome.capacity)
        fmt::print(stderr, "penstock: {}\n", outcome.capacity.error());
    // With --print, standard output is the configuration alone, so that it can be piped.
    std::FILE* out = with_summary ? stdout : stderr;
    if (outcome.loaded.ok() && outcome.capacity)
        fmt::print(out, "{}{}\n", summary(outcome.loaded.config, *outcome.capacity),
                   expiry_text(outcome.certificates));
    if (const auto counts = count_diagnostics(outcome.loaded.diagnostics); !counts.empty())
        fmt::print(out, "{}\n", counts);
}

/// The files that the configuration names are read as `run` reads them before it opens a socket.
void read_files(const std::string& file, Outcome& outcome) {
    auto& problems = outcome.loaded.diagnostics;
    const auto& config = outcome.loaded.config;
    if (auto access = AccessFiles::load(config); !access)
        problems.push_back(problem_with(file, std::move(access.error())));
    TicketKeyBook tickets;
    auto tls = load_tls(config, tickets);
    if (!tls) {
        for (auto& error : tls.error()) problems.push_back(problem_with(file, std::move(error)));
        return;
    }
    for (auto& warning : tls->warnings()) {
        problems.push_back(problem_with(file, std::move(warning)));
        problems.back().severity = config::Severity::warning;
    }
    if (auto inputs = Monitors::read_inputs(config, tls->contexts()); !inputs)
        problems.push_back(problem_with(file, std::move(inputs.error())));
    const auto add = [&outcome](const auto& owners, const std::string& prefix = {}) {
        for (const auto& [name, material] : owners)
            for (const auto& info : material.context->certificates())
                outcome.certificates.push_back({prefix + name, info});
    };
    add(tls->listeners);
    add(tls->upstreams);
    add(tls->admin, "admin ");
    std::ranges::sort(outcome.certificates, {},
                      [](const Certificate& certificate) { return certificate.info.not_after; });
}

}  // namespace

ExitStatus check(const CheckOptions& options) {
    Outcome outcome{.loaded = load_configuration(options.config_file)};
    if (outcome.loaded.ok())
        read_files(options.config_file == "-" ? "<stdin>" : options.config_file, outcome);
    const bool warnings = !outcome.loaded.diagnostics.empty();
    if (outcome.loaded.ok()) outcome.capacity = plan_capacity(outcome.loaded.config);
    outcome.ok = outcome.loaded.ok() && outcome.capacity && !(options.strict && warnings);
    if (options.json)
        print_json(outcome);
    else
        print_text(outcome, !options.print);
    if (options.print && outcome.loaded.ok())
        fmt::print("{}", config::print(outcome.loaded.config));
    return outcome.ok ? ExitStatus::success : ExitStatus::invalid_usage;
}

}  // namespace penstock::app
