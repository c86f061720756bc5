#include "config/diff.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/format.hpp"
#include "config/key_table.hpp"

namespace penstock::config {

namespace {

/// One table of a list.
struct Row {
    std::string label;  // which one it is
    std::string text;   // all of it
    void* object;
};

std::vector<Row> rows_of(const TableSpec& spec, const RowsSlot& slot) {
    std::vector<Row> rows;
    for (std::size_t i = 0; i < slot.size(slot.rows); ++i) {
        void* object = slot.at(slot.rows, i);
        std::string label;
        for (const auto name : split_words(spec.identity)) {
            const auto& key = *spec.find(name);
            const auto part = format_plain(key, key.access(object));
            if (!part.empty()) label += (label.empty() ? "" : " ") + part;
        }
        rows.push_back({std::move(label), format_table(spec, object), object});
    }
    return rows;
}

/// Which of `from` each of `to` was.
class Matches {
public:
    Matches(std::span<const Row> from, std::span<const Row> to)
        : partners_(to.size()), is_taken_(from.size(), false) {
        std::unordered_map<std::string_view, std::vector<std::size_t>> by_label;
        for (std::size_t i = 0; i < from.size(); ++i) by_label[from[i].label].push_back(i);
        // Labels may repeat; then those that are the same go first, so that order does not matter.
        for (const bool same : {true, false})
            for (std::size_t j = 0; j < to.size(); ++j) {
                const auto candidates = by_label.find(to[j].label);
                if (partners_[j] || candidates == by_label.end()) continue;
                for (const auto i : candidates->second)
                    if (!is_taken_[i] && (!same || from[i].text == to[j].text)) {
                        partners_[j] = i;
                        is_taken_[i] = true;
                        break;
                    }
            }
    }

    [[nodiscard]] std::optional<std::size_t> partner(std::size_t to) const { return partners_[to]; }
    [[nodiscard]] bool left(std::size_t from) const { return !is_taken_[from]; }

private:
    std::vector<std::optional<std::size_t>> partners_;
    std::vector<bool> is_taken_;
};

Effect effect_of(const Key& key, const TableSpec& spec, Effect around) {
    if (key.effect != Effect::as_around) return key.effect;
    return spec.effect != Effect::as_around ? spec.effect : around;
}

/// Whom the changes below a table concern: a change without op, key and values.
Change row_subject(const Change& around, const Key& key, const std::string& label) {
    auto subject = around;
    subject.what += fmt::format("{}{} {}", around.what.empty() ? "" : " ", key.name, label);
    if (key.child == "listener") subject.listener = label;
    if (key.child == "upstream") subject.upstream = label;
    if (key.child == "upstream.backend") subject.backend = label;
    return subject;
}

std::vector<std::string> names_of(const std::vector<Backend>& backends) {
    std::vector<std::string> names;
    names.reserve(backends.size());
    for (const auto& backend : backends) names.push_back(backend.name);
    return names;
}

/// Some of these names with their upstreams, and how many more there are.
std::string describe(const std::vector<SniUpstream>& rows) {
    constexpr std::size_t most_listed = 10;
    std::string text;
    for (const auto& row : rows | std::views::take(most_listed))
        text += fmt::format("{}{}={}", text.empty() ? "" : ", ", row.name, row.upstream);
    if (rows.size() > most_listed) text += fmt::format(" and {} more", rows.size() - most_listed);
    return text;
}

class Differ {
public:
    /// Both tables are described by `spec`; `prefix` leads from the subject to them.
    void compare(const Change& subject, const std::string& prefix, const TableSpec& spec,
                 void* from, void* to, Effect around) {
        for (const auto& key : spec.keys) {
            if (!key.is_stored()) continue;
            const auto effect = effect_of(key, spec, around);
            const auto before = key.access(from);
            const auto after = key.access(to);
            if (const auto* table = std::get_if<TableSlot>(&before))
                compare_tables(subject, prefix, key, *table, std::get<TableSlot>(after), effect);
            else if (const auto* optional = std::get_if<OptionalSlot>(&before))
                compare_optional(subject, prefix, key, *optional, std::get<OptionalSlot>(after),
                                 effect);
            else if (const auto* names = std::get_if<std::vector<SniUpstream>*>(&before))
                compare_names(subject, prefix + std::string(key.name), **names,
                              *std::get<std::vector<SniUpstream>*>(after), effect);
            else if (const auto* rows = std::get_if<RowsSlot>(&before);
                     rows != nullptr && !table_spec(key.child).identity.empty())
                compare_rows(subject, key, *rows, std::get<RowsSlot>(after), effect);
            else if (format_inline(key, before) != format_inline(key, after))
                add(subject, prefix + std::string(key.name), format_plain(key, before),
                    format_plain(key, after), effect);
        }
        if (spec.path == "upstream")
            compare_order(subject, *static_cast<Upstream*>(from), *static_cast<Upstream*>(to));
    }

    std::vector<Change> take() { return std::move(changes_); }

private:
    void add(Change change, std::string key, std::string from, std::string to, Effect effect) {
        change.key = std::move(key);
        change.from = std::move(from);
        change.to = std::move(to);
        change.effect = effect;
        changes_.push_back(std::move(change));
    }

    void compare_tables(const Change& subject, const std::string& prefix, const Key& key,
                        const TableSlot& from, const TableSlot& to, Effect effect) {
        const auto& spec = table_spec(key.child);
        if (!subject.what.empty())
            return compare(subject, fmt::format("{}{}.", prefix, key.name), spec, from.object,
                           to.object, effect);
        auto part = subject;  // at the top of the file: a subject of its own
        part.what = key.name;
        compare(part, prefix, spec, from.object, to.object, effect);
    }

    void compare_optional(const Change& subject, const std::string& prefix, const Key& key,
                          const OptionalSlot& from, const OptionalSlot& to, Effect effect) {
        void* before = from.get(from.optional);
        void* after = to.get(to.optional);
        if (before != nullptr && after != nullptr)
            return compare(subject, fmt::format("{}{}.", prefix, key.name), table_spec(key.child),
                           before, after, effect);
        if (before != after)
            add(subject, prefix + std::string(key.name), before == nullptr ? "off" : "on",
                after == nullptr ? "off" : "on", effect);
    }

    /// Both are sorted. There may be many names: only those that differ are told, and only some.
    void compare_names(const Change& subject, std::string key, const std::vector<SniUpstream>& from,
                       const std::vector<SniUpstream>& to, Effect effect) {
        std::vector<SniUpstream> left;
        std::vector<SniUpstream> come;
        const auto order = [](const SniUpstream& a, const SniUpstream& b) {
            return std::tie(a.name, a.upstream) < std::tie(b.name, b.upstream);
        };
        std::ranges::set_difference(from, to, std::back_inserter(left), order);
        std::ranges::set_difference(to, from, std::back_inserter(come), order);
        if (!left.empty() || !come.empty())
            add(subject, std::move(key), describe(left), describe(come), effect);
    }

    void compare_rows(const Change& subject, const Key& key, const RowsSlot& from,
                      const RowsSlot& to, Effect effect) {
        const auto& spec = table_spec(key.child);
        const auto before = rows_of(spec, from);
        const auto after = rows_of(spec, to);
        const Matches matches(before, after);
        for (std::size_t j = 0; j < after.size(); ++j) {
            auto row = row_subject(subject, key, after[j].label);
            if (const auto i = matches.partner(j)) {
                if (before[*i].text == after[j].text) continue;
                compare(row, "", spec, before[*i].object, after[j].object, effect);
                continue;
            }
            row.op = ChangeOp::add;
            add(std::move(row), "", "", summary(spec, after[j].object), spec.on_add);
        }
        for (std::size_t i = 0; i < before.size(); ++i) {
            if (!matches.left(i)) continue;
            auto row = row_subject(subject, key, before[i].label);
            row.op = ChangeOp::remove;
            add(std::move(row), "", summary(spec, before[i].object), "", spec.on_remove);
        }
    }

    static std::string summary(const TableSpec& spec, void* object) {
        const auto* key = spec.find(spec.summary);
        return key == nullptr ? std::string() : format_plain(*key, key->access(object));
    }

    /// What `first` goes by: whoever stays in the same order, new ones behind them, is no change.
    void compare_order(const Change& subject, const Upstream& from, const Upstream& to) {
        if (from.balance != Balance::first || to.balance != Balance::first) return;
        const auto before = names_of(from.backends);
        const auto after = names_of(to.backends);
        const std::unordered_set<std::string_view> old_names(before.begin(), before.end());
        const std::unordered_set<std::string_view> new_names(after.begin(), after.end());
        auto expected = before;
        std::erase_if(expected, [&](const auto& name) { return !new_names.contains(name); });
        for (const auto& name : after)
            if (!old_names.contains(name)) expected.push_back(name);
        if (expected != after)
            add(subject, "backend order", fmt::format("{}", fmt::join(before, ", ")),
                fmt::format("{}", fmt::join(after, ", ")), Effect::new_connections);
    }

    std::vector<Change> changes_;
};

void assign(const Slot& to, const Slot& from) {
    std::visit(
        [&](const auto& target) {
            using Target = std::remove_cvref_t<decltype(target)>;
            const auto& source = std::get<Target>(from);
            if constexpr (std::is_pointer_v<Target>) {
                *target = *source;
            } else if constexpr (std::is_same_v<Target, WordSlot>) {
                target.set(target.value, source.get(source.value));
            } else if constexpr (std::is_same_v<Target, FlagsSlot>) {
                for (std::size_t i = 0; i < target.flags.size(); ++i)
                    *target.flags[i] = *source.flags[i];
            }
            // Addresses and tables: no such key needs a restart (a test sees to it).
        },
        to);
}

void keep_running(const TableSpec& spec, void* wanted, void* running, Effect around) {
    for (const auto& key : spec.keys) {
        if (!key.is_stored()) continue;
        const auto effect = effect_of(key, spec, around);
        const auto target = key.access(wanted);
        const auto source = key.access(running);
        if (const auto* table = std::get_if<TableSlot>(&target))
            keep_running(table_spec(key.child), table->object, std::get<TableSlot>(source).object,
                         effect);
        else if (effect == Effect::restart)
            assign(target, source);
    }
}

// The rows of the key table take what may be written to.
Root root_of(Config config) {
    Root root;
    root.config = std::move(config);
    return root;
}

}  // namespace

std::vector<Change> diff(const Config& from, const Config& to) {
    auto before = root_of(from);
    auto after = root_of(to);
    Differ differ;
    differ.compare({}, "", table_spec(""), &before, &after, Effect::at_once);
    return differ.take();
}

Config with_running(Config wanted, const Config& running) {
    auto target = root_of(std::move(wanted));
    auto source = root_of(running);
    keep_running(table_spec(""), &target, &source, Effect::at_once);
    return std::move(target.config);
}

}  // namespace penstock::config
