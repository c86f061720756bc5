#include "app/client/plan_view.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

constexpr std::string_view indent = "    ";

/// A change as it is shown; texts are sanitised.
struct Change {
    std::string op;
    std::string owner;  // `upstream web`; "" = a line of its own
    std::string label;  // within the owner: `backend d weight`; "" = the owner itself
    std::optional<std::string> from;
    std::optional<std::string> to;
    std::string effect;
    std::string balance;  // the owner's policy, where it matters; "" = it does not
};

struct Group {
    std::string owner;
    std::string balance{};
    const Change* itself = nullptr;  // the change that is about the owner as a whole
    std::vector<const Change*> members{};
};

/// `upstream web backend d` -> {`upstream web`, `backend d`}; `process` has no owner. Names have no
/// blanks.
std::pair<std::string, std::string> split_what(const std::string& what) {
    const auto first = what.find(' ');
    if (first == std::string::npos) return {"", what};
    const auto second = what.starts_with("upstream ") || what.starts_with("listener ")
                            ? what.find(' ', first + 1)
                            : std::string::npos;
    if (second == std::string::npos) return {what, ""};
    return {what.substr(0, second), what.substr(second + 1)};
}

/// The words about the effect, with the number of sessions that it ends.
std::string with_sessions(std::string effect, double sessions) {
    if (sessions <= 0) return effect;
    const auto figure = counted(sessions, "session");
    if (effect.empty()) return figure + " end";
    if (effect.contains(format_figure(sessions) + " session")) return effect;
    const bool is_verb =
        std::ranges::any_of(std::to_array<std::string_view>({"drain", "end", "close"}),
                            [&](auto verb) { return effect.starts_with(verb); });
    return is_verb ? figure + " " + effect : effect + ", " + figure;
}

std::optional<std::string> value_of(const json::value& change, std::string_view name) {
    auto value = text(change, name);
    if (value && value->empty()) value.reset();
    return value;
}

std::string effect_of(const json::value& change, const std::string& op) {
    const auto effect = text_or(change, "effect", "");
    if (op == "kept_override") {
        const auto override = value_of(change, "to");
        return override ? "overridden: " + *override + ", kept" : effect;
    }
    if (op == "restart" && effect.empty()) return "needs a restart";
    return with_sessions(effect, number_or(change, "sessions", 0));
}

Change read(const json::value& value) {
    Change change{.op = text_or(value, "op", "?"),
                  .owner = {},
                  .label = {},
                  .from = value_of(value, "from"),
                  .to = value_of(value, "to"),
                  .effect = {},
                  .balance = text_or(value, "balance", "")};
    std::tie(change.owner, change.label) = split_what(text_or(value, "what", "?"));
    change.effect = effect_of(value, change.op);
    const auto key = text_or(value, "key", "");
    if (key.empty()) return change;
    // `process.workers`, but `backend d weight`.
    if (change.owner.empty())
        change.label += "." + key;
    else
        change.label += (change.label.empty() ? "" : " ") + key;
    return change;
}

/// In the order in which they are met.
std::vector<Group> grouped(const std::vector<Change>& changes) {
    std::vector<Group> groups;
    for (const auto& change : changes) {
        auto group = std::ranges::find(groups, change.owner, &Group::owner);
        // One line each: nothing of an answer may get lost.
        const bool is_taken =
            group != groups.end() && change.label.empty() && group->itself != nullptr;
        if (change.owner.empty() || group == groups.end() || is_taken)
            group = groups.insert(groups.end(), Group{.owner = change.owner});
        if (!change.balance.empty()) group->balance = change.balance;
        if (change.label.empty())
            group->itself = &change;
        else
            group->members.push_back(&change);
    }
    return groups;
}

Cell sign_of(const std::string& op) {
    if (op == "add") return {"+", Style::good};
    if (op == "remove") return {"-", Style::bad};
    if (op == "change") return {"~", Style::warning};
    return {"!", Style::bold};
}

/// What comes after the name: the values, or the address of what comes and goes.
std::string values_of(const Change& change) {
    const auto one = [](const auto& first, const auto& other) {
        return first ? *first : other.value_or("");
    };
    if (change.op == "add") return one(change.to, change.from);
    if (change.op == "remove" || change.op == "kept_override") return one(change.from, change.to);
    if (!change.from && !change.to) return {};
    return change.from.value_or("none") + " -> " + change.to.value_or("none");
}

void add_line(Table& table, std::string_view margin, std::string name, std::size_t name_width,
              const Change& change) {
    const auto sign = sign_of(change.op);
    const auto values = values_of(change);
    const bool in_column = change.op == "change" && !values.empty();
    if (in_column)
        name.append(name_width - std::min(name_width, display_width(name)) + 2, ' ');
    else if (!values.empty())
        name += ' ';
    table.add(
        {{fmt::format("{}{} {}{}", margin, sign.text, name, values), sign.style}, {change.effect}});
}

void add_group(Table& table, const Group& group) {
    std::size_t width = 0;  // of the names whose values stand in a column
    for (const auto* member : group.members)
        if (member->op == "change") width = std::max(width, display_width(member->label));
    const auto name = group.owner + (group.balance.empty() ? "" : " (" + group.balance + ")");
    if (group.itself != nullptr)
        add_line(table, "", name, 0, *group.itself);
    else if (!group.owner.empty())
        table.add({{"~ " + name, Style::warning}, {}});
    for (const auto* member : group.members)
        add_line(table, group.owner.empty() ? "" : indent, member->label, width, *member);
}

std::string changes_of(const json::value& answer, const Canvas& canvas) {
    std::vector<Change> changes;
    for (const auto& change : items(answer, "changes")) changes.push_back(read(change));
    Table table({{""}, {""}});
    for (const auto& group : grouped(changes)) add_group(table, group);
    return table.text({.width = 0, .colour = canvas.colour});
}

std::string sessions_line(const json::value& answer) {
    const double closed = number_or(answer, "sessions.closed_now", 0);
    return fmt::format("{} closed now, {} draining", counted(closed, "session"),
                       format_figure(number_or(answer, "sessions.draining", 0)));
}

}  // namespace

bool has_changes(const json::value& plan) noexcept {
    return !std::ranges::all_of(items(plan, "changes"), [](const json::value& change) {
        return field(change, "op") == "kept_override";
    });
}

std::string plan_view(const json::value& plan, const Canvas& canvas) {
    if (!has_changes(plan))
        return changes_of(plan, canvas) + "no changes: this is the configuration in force\n";
    const auto digest = text(plan, "digest");
    return changes_of(plan, canvas) + sessions_line(plan) + "." +
           (digest ? " Apply with: penstock reload --expect " + *digest : "") + "\n";
}

std::string reload_view(const json::value& answer, const Canvas& canvas) {
    if (!has_changes(answer)) return changes_of(answer, canvas) + "reloaded: nothing has changed\n";
    return changes_of(answer, canvas) + "reloaded: " + sessions_line(answer) + "\n";
}

std::string upgrade_view(const json::value& answer, const Canvas& canvas) {
    const double sessions = number_or(answer, "sessions", 0);
    const auto old = number(answer, "old_pid") ? "process " + plain_number(answer, "old_pid")
                                               : std::string("the old process");
    const auto fate = sessions == 0 ? old + " had no sessions left"
                                    : old + " goes on with " + counted(sessions, "session");
    return line_of(
               {{fmt::format("upgraded: process {} ({}) serves; {}", plain_number(answer, "pid"),
                             text_or(answer, "version", "?"), fate)}},
               {.width = 0, .colour = canvas.colour}) +
           "\n";
}

}  // namespace penstock::app::client
