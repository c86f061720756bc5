#include "admin/api.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "admin/responses.hpp"

namespace penstock::admin {

namespace http = boost::beast::http;
namespace urls = boost::urls;

namespace {

constexpr std::string_view stream_path = "/api/v1/stream";
constexpr std::string_view plan_path = "/api/v1/plan";

std::string_view view(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

struct Target {
    std::vector<std::string> segments;
    std::map<std::string, std::string> query;
};

std::optional<Target> parse_target(boost::beast::string_view text) {
    const auto url = urls::parse_origin_form({text.data(), text.size()});
    if (!url) return std::nullopt;
    Target target;
    for (const auto segment : url->segments()) target.segments.emplace_back(segment);
    for (const auto& param : url->params())
        target.query.insert_or_assign(std::string(param.key), std::string(param.value));
    return target;
}

std::vector<std::string_view> split(std::string_view path) {
    std::vector<std::string_view> segments;
    path.remove_prefix(1);
    for (;;) {
        const auto slash = path.find('/');
        segments.push_back(path.substr(0, slash));
        if (slash == std::string_view::npos) return segments;
        path.remove_prefix(slash + 1);
    }
}

// What stands for the `*` of a route's path; nothing if the path is another one.
std::optional<std::vector<std::string>> capture(std::string_view path,
                                                const std::vector<std::string>& segments) {
    const auto pattern = split(path);
    if (pattern.size() != segments.size() && !(path == "/" && segments.empty()))
        return std::nullopt;
    std::vector<std::string> captured;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        if (pattern[i] == "*")
            captured.push_back(segments[i]);
        else if (pattern[i] != segments[i])
            return std::nullopt;
    }
    return captured;
}

Credentials credentials_of(const HttpRequest& request) {
    return {.host = view(request[http::field::host]),
            .origin = view(request[http::field::origin]),
            .authorization = view(request[http::field::authorization])};
}

std::string_view path_of(const HttpRequest& request) noexcept {
    const auto target = view(request.target());
    return target.substr(0, target.find('?'));
}

bool is_json(const HttpRequest& request) noexcept {
    const auto type = view(request[http::field::content_type]);
    return type.substr(0, type.find(';')) == "application/json";
}

std::expected<boost::json::object, Refusal> parse_body(const std::string& text) {
    if (text.empty()) return boost::json::object();
    boost::system::error_code error;
    auto value = boost::json::parse(text, error);
    if (error) return std::unexpected(Refusal{400, "the body is not JSON", {error.message()}});
    if (!value.is_object()) return std::unexpected(Refusal{400, "the body is not a JSON object"});
    return std::move(value.get_object());
}

}  // namespace

struct Api::Match {
    const Route* route = nullptr;
    std::vector<std::string> captured{};
    std::vector<std::string> other_methods{};  // of the same path
};

Api::Api(Operations& operations, config::Admin settings)
    : operations_(operations), settings_(std::move(settings)) {}

const std::vector<Api::Route>& Api::routes() {
    using enum http::verb;
    static const std::vector<Route> all{
        {get, "/", Need::page, &Api::dashboard},
        {get, "/metrics", Need::metrics, &Api::metrics},
        {get, "/livez", Need::metrics, &Api::livez},
        {get, "/readyz", Need::metrics, &Api::readyz},
        {get, "/api/v1/status", Need::read, &Api::status},
        {get, "/api/v1/listeners", Need::read, &Api::listeners},
        {get, "/api/v1/upstreams", Need::read, &Api::upstreams},
        {get, "/api/v1/upstreams/*", Need::read, &Api::upstream},
        {get, "/api/v1/sessions", Need::read, &Api::sessions},
        {get, "/api/v1/closes", Need::read, &Api::closes},
        {get, "/api/v1/config", Need::read, &Api::configuration},
        {get, "/api/v1/events", Need::read, &Api::events},
        {get, "/api/v1/explain", Need::read, &Api::explain},
        {get, stream_path, Need::read, &Api::stream},
        {post, "/api/v1/upstreams/*/backends/*", Need::change, &Api::change_backend},
        {post, "/api/v1/upstreams/*/backends/*/kill", Need::change, &Api::kill_backend},
        {post, "/api/v1/sessions/*/kill", Need::change, &Api::kill_session},
        {post, "/api/v1/upstreams/*/rebalance", Need::change, &Api::rebalance},
        {post, "/api/v1/upstreams/*/pause", Need::change, &Api::pause},
        {post, "/api/v1/upstreams/*/resume", Need::change, &Api::resume},
        {post, "/api/v1/listeners/*/split", Need::change, &Api::split},
        {post, "/api/v1/drain", Need::change, &Api::drain},
        {post, "/api/v1/undrain", Need::change, &Api::undrain},
        {post, plan_path, Need::change, &Api::plan, Body::toml},
        {post, "/api/v1/reload", Need::change, &Api::reload},
        {post, "/api/v1/upgrade", Need::change, &Api::upgrade},
    };
    return all;
}

Api::Match Api::find(http::verb method, const std::vector<std::string>& segments) {
    Match match;
    for (const Route& route : routes()) {
        auto captured = capture(route.path, segments);
        if (!captured) continue;
        if (route.method != method) {
            match.other_methods.emplace_back(view(http::to_string(route.method)));
            continue;
        }
        match.route = &route;
        match.captured = *std::move(captured);
        break;
    }
    return match;
}

boost::asio::awaitable<HttpResponse> Api::handle(HttpRequest request, Caller caller,
                                                 const AccessRules& rules) {
    auto target = parse_target(request.target());
    if (!target) co_return refuse({400, "the target of the request is no path"});
    const http::verb method =
        request.method() == http::verb::head ? http::verb::get : request.method();
    Match match = find(method, target->segments);
    const Credentials credentials = credentials_of(request);
    const Need need = match.route != nullptr ? match.route->need : Need::read;
    if (const auto denial = rules.judge(caller, credentials, need))
        co_return refuse({denial->status, denial->error});
    if (match.route == nullptr) {
        if (match.other_methods.empty()) co_return refuse({404, "there is no such page"});
        auto response = refuse(
            {405, fmt::format("this page is for {} only", fmt::join(match.other_methods, ", "))});
        response.set(http::field::allow, fmt::format("{}", fmt::join(match.other_methods, ", ")));
        co_return response;
    }
    ApiRequest asked{.captured = std::move(match.captured),
                     .query = std::move(target->query),
                     .body = {},
                     .text = {},
                     .actor = rules.actor(caller, credentials),
                     .may_change = !rules.judge(caller, credentials, Need::change)};
    if (match.route->body == Body::toml) {
        if (is_json(request) && !request.body().empty())
            co_return refuse({415, "the body of this page is a configuration in TOML, as it is"});
        asked.text = std::move(request.body());
    } else {
        auto body = parse_body(request.body());
        if (!body) co_return refuse(body.error());
        asked.body = *std::move(body);
    }
    auto answering = (this->*match.route->handler)(std::move(asked));
    co_return co_await std::move(answering);
}

bool Api::is_stream(const HttpRequest& request, const Caller& caller,
                    const AccessRules& rules) const {
    return request.method() == http::verb::get && path_of(request) == stream_path &&
           !rules.judge(caller, credentials_of(request), Need::read);
}

bool Api::brings_configuration(const HttpRequest& request, const Caller& caller,
                               const AccessRules& rules) const {
    return request.method() == http::verb::post && path_of(request) == plan_path &&
           !rules.judge(caller, credentials_of(request), Need::change);
}

}  // namespace penstock::admin
