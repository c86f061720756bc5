// The routes about the configuration and the program as a whole: what would change, and the change.
#include <algorithm>
#include <utility>

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "admin/api.hpp"
#include "admin/arguments.hpp"
#include "admin/bodies.hpp"
#include "admin/responses.hpp"

namespace penstock::admin {

using boost::asio::awaitable;

namespace {

constexpr unsigned invalid_configuration = 422;
constexpr unsigned conflict = 409;

/// One line per mistake, as any other refusal has them.
std::vector<std::string> details_of(const Plan& plan) {
    std::vector<std::string> details;
    for (const auto& problem : plan.problems)
        if (problem.severity == config::Severity::error)
            details.push_back(problem.line == 0
                                  ? fmt::format("{}: {}", problem.file, problem.message)
                                  : fmt::format("{}:{}:{}: {}", problem.file, problem.line,
                                                problem.column, problem.message));
    return details;
}

std::string error_count(const Plan& plan) {
    const auto errors =
        std::ranges::count(plan.problems, config::Severity::error, &config::Diagnostic::severity);
    return fmt::format("{} error{}", errors, errors == 1 ? "" : "s");
}

/// A refusal that has the fields of a plan as well.
HttpResponse refuse_with(const boost::json::object& body, const Plan& plan, unsigned status,
                         std::string error) {
    boost::json::object all =
        to_json(Refusal{status, std::move(error), details_of(plan)}).as_object();
    for (const auto& field : body) all.insert(field);
    HttpResponse response = json_response(all);
    response.result(status);
    return response;
}

/// The answer about a configuration with errors; `nothing_done` is the end of its sentence.
HttpResponse refuse_invalid(boost::json::object body, const Plan& plan,
                            std::string_view nothing_done) {
    if (!plan.beyond_sandbox)
        return refuse_with(
            body, plan, invalid_configuration,
            fmt::format("the configuration has {}{}", error_count(plan), nothing_done));
    body["beyond_sandbox"] = true;
    return refuse_with(
        body, plan, conflict,
        fmt::format("the configuration is good, but the sandbox of this process does "
                    "not allow it: upgrade or restart{}",
                    nothing_done));
}

HttpResponse answer(const Plan& plan) {
    const auto body = to_json(plan);
    return plan.valid() ? json_response(body) : refuse_invalid(body, plan, "");
}

HttpResponse answer(const Reloaded& reloaded) {
    const Plan& plan = reloaded.plan;
    auto body = to_json(plan);
    body["applied"] = reloaded.error.empty() && plan.valid();
    if (!plan.valid()) return refuse_invalid(std::move(body), plan, "; nothing has changed");
    if (!reloaded.error.empty()) return refuse_with(body, plan, conflict, reloaded.error);
    return json_response(body);
}

}  // namespace

awaitable<HttpResponse> Api::plan(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"file"});
    PlanRequest asked{.text = {}, .file = arguments.text("file")};
    if (arguments.has("file") && !asked.file.starts_with('/'))
        arguments.complain("'file' must be an absolute path");
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    // With a name, an empty body is the text of an empty file.
    if (!request.text.empty() || arguments.has("file")) asked.text = std::move(request.text);
    auto planning = operations_.plan(std::move(asked));
    const auto plan = co_await std::move(planning);
    co_return plan ? answer(*plan) : refuse(plan.error());
}

awaitable<HttpResponse> Api::reload(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"expect"});
    ReloadRequest asked{.expect = arguments.text("expect")};
    if (arguments.has("expect") && asked.expect.empty())
        arguments.complain("'expect' must be the digest of a plan; leave it out for any");
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto reloading = operations_.reload(std::move(asked), request.actor);
    const auto reloaded = co_await std::move(reloading);
    co_return reloaded ? answer(*reloaded) : refuse(reloaded.error());
}

awaitable<HttpResponse> Api::upgrade(ApiRequest request) {
    Arguments arguments(request);
    if (auto refusal = arguments.allow({}).refusal()) co_return refuse(*refusal);
    const int old_pid = operations_.overview().process.pid;
    auto upgrading = operations_.upgrade(request.actor);
    const auto upgraded = co_await std::move(upgrading);
    co_return upgraded ? json_response(to_json(*upgraded, old_pid)) : refuse(upgraded.error());
}

}  // namespace penstock::admin
