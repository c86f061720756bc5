#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/diagnostic.hpp"
#include "config/suggest.hpp"

namespace penstock::config {

namespace {

/// Reports the second and later uses of a name.
class UniqueNames {
public:
    UniqueNames(std::string what, Reporter& reporter)
        : what_(std::move(what)), reporter_(reporter) {}

    void add(const std::string& name, Region where) {
        if (name.empty()) return;
        const auto [first, is_new] = seen_.emplace(name, where);
        if (!is_new)
            reporter_.error(where, fmt::format("a second {} with the name '{}'", what_, name),
                            first->second, "the first one");
    }

private:
    std::string what_;
    Reporter& reporter_;
    std::unordered_map<std::string, Region> seen_;
};

std::string unknown_upstream(const std::string& name, const std::vector<std::string_view>& names) {
    auto message = fmt::format("there is no upstream {}", quote(name));
    if (names.empty()) return message + "; add an [[upstream]] with this name";
    if (const auto near = nearest(name, names))
        message += fmt::format("; did you mean '{}'?", *near);
    else
        message += '.';
    constexpr std::size_t most_listed = 10;
    message += " There are: ";
    for (std::size_t i = 0; i < names.size() && i < most_listed; ++i)
        message += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i]);
    if (names.size() > most_listed)
        message += fmt::format(" and {} more", names.size() - most_listed);
    return message;
}

class References {
public:
    explicit References(const Check& check) : check_(check) {
        for (const auto& upstream : check.config.upstreams) {
            names_.push_back(upstream.name);
            known_.insert(upstream.name);
            complete_ = complete_ && !upstream.name.empty();
        }
    }

    void use(const std::string& name, Region where) {
        if (name.empty()) return;  // reported
        used_.insert(name);
        expect(name, where);
    }

    /// Must exist; clients do not come to it that way.
    void expect(const std::string& name, Region where) const {
        if (complete_ && !known_.contains(name))
            check_.reporter.error(where, unknown_upstream(name, names_));
    }

    [[nodiscard]] bool is_used(const std::string& name) const { return used_.contains(name); }

private:
    const Check& check_;
    std::vector<std::string_view> names_;
    std::unordered_set<std::string_view> known_;
    std::unordered_set<std::string_view> used_;
    bool complete_ = true;
};

/// Where a split was given: as a list, or by the header of its first part.
Region split_place(const Check& check, const std::string& table, const std::string& around) {
    const auto defaults = "defaults." + table.substr(0, table.find('['));
    for (const auto& owner : {table, defaults})
        for (const auto* part : {"split", "split[0]"})
            if (const auto* where = check.origins.find(fmt::format("{}.{}{}", owner, around, part)))
                return *where;
    return check.origins.of(table, "");
}

/// Parts of the split of a listener or, with `around` = `route[2].`, of a route.
void check_parts(const Check& check, References& references, const std::string& table,
                 const std::string& around, const std::vector<SplitPart>& split) {
    std::unordered_map<std::string_view, Region> seen;
    const auto part = [&](std::size_t j) { return fmt::format("{}split[{}]", around, j); };
    for (std::size_t j = 0; j < split.size(); ++j) {
        const auto& name = split[j].upstream;
        const auto where = part_place(check, table, part(j), "upstream");
        references.use(name, where);
        const auto [first, is_new] = seen.emplace(name, where);
        if (!is_new && !name.empty())
            check.reporter.error(where,
                                 fmt::format("upstream '{}' is twice in 'split'; add up its "
                                             "weights",
                                             name),
                                 first->second, "the first one");
    }
    if (!split.empty() &&
        std::ranges::all_of(split, [](const SplitPart& p) { return p.weight == 0; }))
        check.reporter.error(split_place(check, table, around),
                             "every weight in 'split' is 0, so nobody could be served");
}

void check_split(const Check& check, References& references, std::size_t i) {
    const auto& listener = check.config.listeners[i];
    const auto table = listener_path(i);
    if (listener.split.empty()) {
        if (listener.split_by != SplitBy::random && is_own(check, table, "split_by"))
            check.reporter.warning(place(check, table, "split_by"),
                                   "'split_by' has no effect without 'split'");
        return;
    }
    check_parts(check, references, table, "", listener.split);
    if (!listener.upstream.empty())
        check.reporter.error(place(check, table, "upstream"),
                             "'upstream' and 'split' exclude each other: keep one of them",
                             split_place(check, table, ""), "'split' is here");
}

/// There may be very many names, so each unknown upstream is told once.
void check_server_names(const Check& check, References& references, std::size_t i) {
    const auto table = listener_path(i);
    std::unordered_set<std::string_view> seen;
    for (const auto& row : check.config.listeners[i].sni) {
        if (!seen.insert(row.upstream).second || check.reporter.errors() >= Reporter::most_kept)
            continue;
        const auto where = place(check, table, "sni." + row.name);
        if (row.upstream.empty())
            check.reporter.error(
                where, fmt::format("{} in [listener.sni] leads to no upstream", quote(row.name)));
        references.use(row.upstream, where);
    }
}

void check_route_targets(const Check& check, References& references, std::size_t i) {
    const auto table = listener_path(i);
    const auto& routes = check.config.listeners[i].routes;
    for (std::size_t j = 0; j < routes.size(); ++j) {
        const auto part = fmt::format("route[{}]", j);
        const auto where = part_place(check, table, part, "upstream");
        references.use(routes[j].upstream, where);
        check_parts(check, references, table, part + '.', routes[j].split);
        if (routes[j].upstream.empty() && routes[j].split.empty())
            check.reporter.error(where,
                                 "[[listener.route]] leads nowhere; add upstream = \"...\", or "
                                 "'split'");
        if (!routes[j].upstream.empty() && !routes[j].split.empty())
            check.reporter.error(where,
                                 "'upstream' and 'split' exclude each other: keep one of them",
                                 split_place(check, table, part + '.'), "'split' is here");
    }
}

}  // namespace

void check_names(const Check& check) {
    UniqueNames listeners("listener", check.reporter);
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i)
        listeners.add(check.config.listeners[i].name, check.origins.of(listener_path(i), "name"));
    UniqueNames upstreams("upstream", check.reporter);
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) {
        const auto& upstream = check.config.upstreams[i];
        upstreams.add(upstream.name, check.origins.of(upstream_path(i), "name"));
        UniqueNames backends(fmt::format("backend of upstream '{}'", upstream.name),
                             check.reporter);
        for (std::size_t j = 0; j < upstream.backends.size(); ++j) {
            const auto path = backend_path(i, j);
            backends.add(upstream.backends[j].name,
                         check.origins.of(path, is_own(check, path, "name") ? "name" : "address"));
        }
    }
}

void check_references(const Check& check) {
    References references(check);
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        const auto where = place(check, listener_path(i), "upstream");
        references.use(listener.upstream, where);
        check_split(check, references, i);
        check_server_names(check, references, i);
        check_route_targets(check, references, i);
        const bool leads_somewhere = !listener.upstream.empty() || !listener.split.empty() ||
                                     !listener.sni.empty() || !listener.routes.empty();
        if (!leads_somewhere && !listener.name.empty())
            check.reporter.warning(
                where, fmt::format("listener '{}' has no upstream: it refuses every connection",
                                   listener.name));
    }
    const auto& ready = check.config.admin.ready_upstreams;
    for (std::size_t i = 0; i < ready.size(); ++i)
        references.expect(ready[i],
                          check.origins.of("admin", fmt::format("ready_upstreams[{}]", i)));
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i)
        if (const auto& name = check.config.upstreams[i].name;
            !name.empty() && !references.is_used(name))
            check.reporter.warning(check.origins.of(upstream_path(i), "name"),
                                   fmt::format("no listener uses upstream '{}'", name));
}

}  // namespace penstock::config
