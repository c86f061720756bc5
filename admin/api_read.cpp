// The routes that change nothing.
#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "admin/api.hpp"
#include "admin/arguments.hpp"
#include "admin/bodies.hpp"
#include "admin/dashboard.hpp"
#include "admin/metrics_page.hpp"
#include "admin/readiness.hpp"
#include "admin/responses.hpp"
#include "net/client_hello.hpp"

namespace penstock::admin {

using boost::asio::awaitable;

namespace {

constexpr std::uint64_t most_sessions = 10'000;
constexpr std::uint64_t sessions_by_default = 1000;

std::optional<CompactEndpoint> endpoint_of(const std::string& address) {
    const bool bracket = address.contains(':') && !address.starts_with('[');
    const auto parsed = Endpoint::parse(bracket ? fmt::format("[{}]:0", address) : address + ":0");
    if (!parsed || parsed->is_unix()) return std::nullopt;
    return parsed->ip();
}

std::string upstreams_text(const Overview& overview) {
    return boost::json::serialize(to_json(overview.upstreams)) + "\n";
}

std::string overview_text(const Overview& overview) {
    return boost::json::serialize(to_json(overview));
}

HttpResponse answer(const Outcome<Explanation>& explanation) {
    return explanation ? json_response(to_json(*explanation)) : refuse(explanation.error());
}

/// Those between the commas.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = std::min(text.find(','), text.size());
        if (end != 0) words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

}  // namespace

awaitable<HttpResponse> Api::dashboard(ApiRequest) { co_return dashboard_response(); }

awaitable<HttpResponse> Api::metrics(ApiRequest) {
    auto writing = operations_.shown(metrics_page);
    auto page = co_await std::move(writing);
    co_return response(200, "text/plain; version=0.0.4; charset=utf-8", std::move(page));
}

awaitable<HttpResponse> Api::livez(ApiRequest) { co_return livez_of(operations_.overview()); }

awaitable<HttpResponse> Api::readyz(ApiRequest request) {
    Arguments arguments(request);
    if (auto refusal = arguments.allow({"upstream", "listener"}).refusal())
        co_return refuse(*refusal);
    co_return readyz_of(operations_.overview(), settings_, request.query);
}

awaitable<HttpResponse> Api::status(ApiRequest request) {
    auto body = to_json(operations_.overview().process);
    body.as_object()["access"] = request.may_change ? "full" : "read";
    co_return json_response(body);
}

awaitable<HttpResponse> Api::listeners(ApiRequest) {
    co_return json_response(to_json(operations_.overview().listeners));
}

awaitable<HttpResponse> Api::upstreams(ApiRequest) {
    auto writing = operations_.shown(upstreams_text);
    auto text = co_await std::move(writing);
    co_return response(200, "application/json", std::move(text));
}

awaitable<HttpResponse> Api::upstream(ApiRequest request) {
    const Overview overview = operations_.overview();
    const auto& name = request.captured.front();
    const auto found = std::ranges::find(overview.upstreams, name, &UpstreamView::name);
    if (found == overview.upstreams.end())
        co_return refuse({404, fmt::format("there is no upstream '{}'", name)});
    co_return json_response(to_json(*found));
}

awaitable<HttpResponse> Api::sessions(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"upstream", "backend", "listener", "source", "older", "limit"});
    proxy::SessionFilter filter{
        .listener = arguments.text("listener"),
        .upstream = arguments.text("upstream"),
        .backend = arguments.text("backend"),
        .older = arguments.duration("older", {}),
        .limit = arguments.number("limit", sessions_by_default, most_sessions)};
    if (const std::string source = arguments.text("source"); !source.empty()) {
        const auto prefix = Prefix::parse(source);
        if (prefix)
            filter.source = *prefix;
        else
            arguments.complain(fmt::format("source '{}': {}", source, prefix.error()));
    }
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    const std::size_t limit = filter.limit;
    auto asking = operations_.sessions(filter);
    const auto found = co_await std::move(asking);
    auto shown = to_json(found);
    auto& all = shown.as_array();
    auto asking_old = operations_.old_sessions(std::move(filter));
    auto old = co_await std::move(asking_old);
    for (auto& session : old)
        if (all.size() < limit) all.push_back(std::move(session));
    co_return json_response(shown);
}

awaitable<HttpResponse> Api::closes(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"reason", "upstream", "limit"});
    proxy::ClosedFilter filter{.upstream = arguments.text("upstream"),
                               .limit = arguments.number("limit", proxy::ClosedSessions::capacity,
                                                         proxy::ClosedSessions::capacity)};
    if (const std::string name = arguments.text("reason"); !name.empty()) {
        if (const auto reason = reason_named(name))
            filter.reason = *reason;
        else
            arguments.complain(fmt::format("there is no reason '{}'", name));
    }
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto asking = operations_.closes(std::move(filter));
    const auto found = co_await std::move(asking);
    std::string text = "[";
    for (const auto& line : found) {
        if (text.size() > 1) text += ',';
        text += line.json;
    }
    co_return response(200, "application/json", text + "]\n");
}

awaitable<HttpResponse> Api::configuration(ApiRequest) {
    co_return response(200, "application/toml; charset=utf-8", operations_.configuration());
}

awaitable<HttpResponse> Api::events(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"since"});
    const auto since = arguments.number("since", 0, ~std::uint64_t{0} >> 1);
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    co_return json_response(to_json(operations_.events().since(since)));
}

awaitable<HttpResponse> Api::explain(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"listener", "source", "sni", "alpn"});
    ExplainQuery query{.listener = arguments.text("listener")};
    if (query.listener.empty()) arguments.complain("'listener' is missing");
    if (const std::string source = arguments.text("source"); !source.empty()) {
        query.source = endpoint_of(source);
        if (!query.source) arguments.complain(fmt::format("source '{}' is no IP address", source));
    }
    if (const std::string name = arguments.text("sni"); !name.empty()) {
        query.server_name = net::normalized_server_name(name);
        if (query.server_name.empty())
            arguments.complain(
                fmt::format("sni '{}' is no server name; it is a host name such as "
                            "a.example, without a star or a port",
                            name));
    }
    query.alpn = words_of(arguments.text("alpn"));
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    co_return answer(operations_.explain(query));
}

// Whoever owns the socket serves the stream; here come those who may not have it any more.
awaitable<HttpResponse> Api::stream(ApiRequest) {
    co_return refuse({503, "too many streams are open; close one"});
}

awaitable<std::string> Api::status_text() { return operations_.shown(overview_text); }

}  // namespace penstock::admin
