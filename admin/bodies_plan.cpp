// The bodies that tell of changes of the configuration and of the program.
#include <array>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "admin/bodies.hpp"

namespace penstock::admin {

namespace json = boost::json;

namespace {

std::string_view name_of(PlannedChange::Op op) noexcept {
    static constexpr std::array<std::string_view, 5> names{"add", "remove", "change", "restart",
                                                           "kept_override"};
    return names[std::to_underlying(op)];
}

json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value(nullptr) : json::value(json::string(text));
}

json::object to_json(const PlannedChange& change) {
    json::object object{{"op", name_of(change.op)},        {"what", change.what},
                        {"key", text_or_null(change.key)}, {"from", text_or_null(change.from)},
                        {"to", text_or_null(change.to)},   {"effect", text_or_null(change.effect)},
                        {"sessions", change.sessions}};
    if (!change.balance.empty()) object["balance"] = change.balance;
    return object;
}

json::object to_json(const config::Diagnostic& problem) {
    json::object object{{"file", problem.file},
                        {"line", problem.line},
                        {"column", problem.column},
                        {"length", problem.length},
                        {"message", problem.message}};
    if (problem.related.empty()) return object;
    json::array related;
    for (const auto& other : problem.related) related.push_back(to_json(other));
    object["related"] = std::move(related);
    return object;
}

json::array problems_of(const Plan& plan, config::Severity severity) {
    json::array array;
    for (const auto& problem : plan.problems)
        if (problem.severity == severity) array.push_back(to_json(problem));
    return array;
}

}  // namespace

json::object to_json(const Plan& plan) {
    json::array changes;
    for (const auto& change : plan.changes) changes.push_back(to_json(change));
    return {
        {"digest", text_or_null(plan.digest)},
        {"changes", std::move(changes)},
        {"sessions", json::object{{"closed_now", plan.closed_now}, {"draining", plan.draining}}},
        {"errors", problems_of(plan, config::Severity::error)},
        {"warnings", problems_of(plan, config::Severity::warning)}};
}

json::value to_json(const Upgraded& upgraded, int old_pid) {
    return json::object{{"pid", upgraded.pid},
                        {"version", upgraded.version},
                        {"old_pid", old_pid},
                        {"sessions", upgraded.sessions}};
}

}  // namespace penstock::admin
