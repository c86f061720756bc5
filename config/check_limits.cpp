#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/peer_file.hpp"

namespace penstock::config {

namespace {

bool has_source_limits(const Listener& listener) {
    return listener.max_connections_per_source != 0 || listener.accept_rate_per_source.amount != 0;
}

/// Settings that need a limit per source. What comes from the defaults is for those that have one.
void check_source_settings(const Check& check, const Listener& listener, const std::string& table) {
    if (has_source_limits(listener)) return;
    const auto warn = [&](std::string_view key) {
        if (is_own(check, table, key))
            check.reporter.warning(place(check, table, key),
                                   fmt::format("'{}' has no effect without "
                                               "max_connections_per_source or "
                                               "accept_rate_per_source",
                                               key));
    };
    if (!listener.limit_exempt.empty()) warn("limit_exempt");
    if (listener.source_prefix != SourcePrefix{}) warn("source_prefix");
}

void check_on_limit(const Check& check, const Listener& listener, const std::string& table) {
    const bool whole = listener.max_connections != 0 || listener.accept_rate.amount != 0;
    if (listener.on_limit == OnLimit::wait && !whole && has_source_limits(listener))
        check.reporter.warning(
            place(check, table, "on_limit"),
            "on_limit = \"wait\" does not apply to limits per source, and the listener has no "
            "other one: clients above them are refused");
}

/// A row per word of 'dry_run': what it names, and whether that would ever refuse anybody.
void check_dry_run(const Check& check, const Listener& listener, const std::string& table) {
    if (!is_own(check, table, "dry_run")) return;
    struct Row {
        std::string_view word;
        bool named;
        bool is_set;
    };
    const auto& named = listener.dry_run;
    const Row rows[] = {
        {"max_connections", named.max_connections, listener.max_connections != 0},
        {"max_connections_per_source", named.max_connections_per_source,
         listener.max_connections_per_source != 0},
        {"accept_rate", named.accept_rate, listener.accept_rate.amount != 0},
        {"accept_rate_per_source", named.accept_rate_per_source,
         listener.accept_rate_per_source.amount != 0},
        {"allow", named.allow, !listener.allow.empty() || !listener.allow_file.empty()},
        {"deny", named.deny, !listener.deny.empty() || !listener.deny_file.empty()},
    };
    for (const auto& row : rows)
        if (row.named && !row.is_set)
            check.reporter.warning(
                check.origins.of(table + ".dry_run", row.word),
                fmt::format("'dry_run' names '{}', which listener '{}' does not set", row.word,
                            listener.name));
}

void check_overlap(const Check& check, const Listener& listener, const std::string& table) {
    const std::set<Prefix> denied(listener.deny.prefixes.begin(), listener.deny.prefixes.end());
    for (const auto& prefix : listener.allow.prefixes)
        if (denied.contains(prefix))
            check.reporter.warning(
                place(check, table, "allow"),
                fmt::format("{} stands in 'allow' and in 'deny': it is denied", prefix.to_string()),
                place(check, table, "deny"), "'deny' is here");
}

/// Reads each file once, however many listeners name it.
class PeerFiles {
public:
    explicit PeerFiles(const Check& check) : check_(check) {}

    void check(const std::string& table, std::string_view key, const std::string& path) {
        if (path.empty()) return;
        auto [found, is_new] = findings_.try_emplace(path);
        if (is_new) found->second = read(path);
        if (const auto& finding = found->second; !finding.text.empty())
            report(finding, place(check_, table, key),
                   fmt::format("'{}' in [[listener]]: {} {}", key, path, finding.text));
    }

private:
    /// About the file as a whole; wrong lines are reported when they are read.
    struct Finding {
        std::string text;
        bool is_error = false;
    };

    Finding read(const std::string& path) {
        const auto errors = check_.reporter.errors();
        const auto peers = read_peer_file(path, check_.reporter);
        if (!peers) return {peers.error(), true};
        if (peers->empty() && check_.reporter.errors() == errors) return {"names no peer", false};
        return {};
    }

    void report(const Finding& finding, Region where, std::string message) {
        if (finding.is_error)
            check_.reporter.error(where, std::move(message));
        else
            check_.reporter.warning(where, std::move(message));
    }

    const Check& check_;
    std::unordered_map<std::string, Finding> findings_;
};

}  // namespace

void check_limits(const Check& check) {
    PeerFiles files(check);
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        const auto table = listener_path(i);
        check_source_settings(check, listener, table);
        check_on_limit(check, listener, table);
        check_dry_run(check, listener, table);
        check_overlap(check, listener, table);
        files.check(table, "allow_file", listener.allow_file);
        files.check(table, "deny_file", listener.deny_file);
    }
}

}  // namespace penstock::config
