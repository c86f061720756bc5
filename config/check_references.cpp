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

/// The place of a part; parts may come from the defaults.
Region part_place(const Check& check, const std::string& table, std::size_t j,
                  std::string_view key) {
    const auto part = fmt::format("split[{}]", j);
    if (is_own(check, table, part)) return check.origins.of(table + '.' + part, key);
    return check.origins.of("defaults.listener." + part, key);
}

void check_split(const Check& check, References& references, std::size_t i) {
    const auto& listener = check.config.listeners[i];
    const auto table = listener_path(i);
    const auto own = [&](const std::string& key) { return is_own(check, table, key); };
    if (listener.split.empty()) {
        if (listener.split_by != SplitBy::random && own("split_by"))
            check.reporter.warning(place(check, table, "split_by"),
                                   "'split_by' has no effect without 'split'");
        return;
    }
    std::unordered_map<std::string_view, Region> seen;
    for (std::size_t j = 0; j < listener.split.size(); ++j) {
        const auto& name = listener.split[j].upstream;
        const auto where = part_place(check, table, j, "upstream");
        references.use(name, where);
        const auto [first, is_new] = seen.emplace(name, where);
        if (!is_new && !name.empty())
            check.reporter.error(where,
                                 fmt::format("upstream '{}' is twice in 'split'; add up its "
                                             "weights",
                                             name),
                                 first->second, "the first one");
    }
    const auto where =
        own("split") ? place(check, table, "split") : part_place(check, table, 0, "");
    if (std::ranges::all_of(listener.split, [](const SplitPart& p) { return p.weight == 0; }))
        check.reporter.error(where, "every weight in 'split' is 0, so nobody could be served");
    if (!listener.upstream.empty())
        check.reporter.error(place(check, table, "upstream"),
                             "'upstream' and 'split' exclude each other: keep one of them", where,
                             "'split' is here");
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
        if (listener.upstream.empty() && listener.split.empty() && !listener.name.empty())
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
