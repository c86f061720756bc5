#include "app/client/requests.hpp"

#include <charconv>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace penstock::app::client {

namespace {

namespace json = boost::json;

constexpr std::string_view api = "/api/v1";
constexpr Duration reload_patience = std::chrono::minutes(1);
// A new process has a minute to become ready.
constexpr Duration upgrade_patience = std::chrono::seconds(90);

bool is_unreserved(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

std::string upstream_path(std::string_view upstream) {
    return fmt::format("{}/upstreams/{}", api, percent_encoded(upstream));
}

std::string backend_path(const BackendName& name) {
    return fmt::format("{}/backends/{}", upstream_path(name.upstream),
                       percent_encoded(name.backend));
}

Request post(std::string target, const json::object& body) {
    return {.post = true, .target = std::move(target), .body = json::serialize(body)};
}

json::object close_body(const CloseOptions& options, const char* share_key) {
    json::object body;
    if (!options.over.empty()) body["over"] = options.over;
    if (options.share) body[share_key] = *options.share;
    body["dry_run"] = options.dry_run;
    return body;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
    // A path of dots alone would be taken for a step upwards.
    const bool only_dots = text == "." || text == "..";
    std::string out;
    for (const char c : text) {
        if (is_unreserved(c) && !only_dots)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::string with_query(std::string target,
                       const std::vector<std::pair<std::string_view, std::string>>& parameters) {
    char separator = '?';
    for (const auto& [name, value] : parameters) {
        if (value.empty()) continue;
        target += separator;
        target.append(name).append("=").append(percent_encoded(value));
        separator = '&';
    }
    return target;
}

std::expected<BackendName, std::string> parse_backend_name(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size())
        return std::unexpected(
            fmt::format("'{}' names no backend; it is UPSTREAM/BACKEND, such as web/a", text));
    return BackendName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::expected<SplitWeights, std::string> parse_split(const std::vector<std::string>& words) {
    SplitWeights weights;
    for (const auto& text : words) {
        const auto equals = text.rfind('=');
        const auto digits = equals == std::string::npos ? std::string_view()
                                                        : std::string_view(text).substr(equals + 1);
        std::uint64_t weight = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), weight);
        if (equals == 0 || digits.empty() || error != std::errc() ||
            end != digits.data() + digits.size())
            return std::unexpected(fmt::format(
                "'{}' is no weight; it is UPSTREAM=N with a whole number, such as v1=95", text));
        const auto name = text.substr(0, equals);
        for (const auto& [other, same] : weights)
            if (other == name) return std::unexpected(fmt::format("'{}' is given twice", name));
        weights.emplace_back(name, weight);
    }
    return weights;
}

Request kill_session(std::string_view id) {
    return post(fmt::format("{}/sessions/{}/kill", api, percent_encoded(id)), {});
}

Request kill_backend(const BackendName& name, const CloseOptions& options) {
    return post(backend_path(name) + "/kill", close_body(options, "share"));
}

Request rebalance(std::string_view upstream, const CloseOptions& options) {
    return post(upstream_path(upstream) + "/rebalance", close_body(options, "max_share"));
}

Request set_state(const BackendName& name, std::string_view state) {
    return post(backend_path(name), {{"state", state}});
}

Request set_weight(const BackendName& name, std::uint64_t weight) {
    return post(backend_path(name), {{"weight", weight}});
}

Request reset_backend(const BackendName& name) {
    return post(backend_path(name), {{"reset", true}});
}

Request drain(std::string_view verb, std::string_view listener) {
    json::object body;
    if (!listener.empty()) body["listener"] = listener;
    return post(fmt::format("{}/{}", api, verb), body);
}

Request pause(std::string_view upstream, std::string_view max) {
    json::object body;
    if (!max.empty()) body["max"] = max;
    return post(upstream_path(upstream) + "/pause", body);
}

Request resume(std::string_view upstream) { return post(upstream_path(upstream) + "/resume", {}); }

Request split(std::string_view listener, const SplitWeights& weights) {
    json::object body;
    for (const auto& [name, weight] : weights) body[name] = weight;
    return post(fmt::format("{}/listeners/{}/split", api, percent_encoded(listener)), body);
}

Request plan(const std::optional<ConfigurationText>& configuration) {
    Request request{.post = true,
                    .target = fmt::format("{}/plan", api),
                    .type = "application/toml",
                    .patience = reload_patience};
    if (!configuration) return request;
    request.target = with_query(request.target, {{"file", configuration->file}});
    request.body = configuration->text;
    return request;
}

Request reload(std::string_view digest) {
    json::object body;
    if (!digest.empty()) body["expect"] = digest;
    Request request = post(fmt::format("{}/reload", api), body);
    request.patience = reload_patience;
    return request;
}

Request upgrade() {
    Request request = post(fmt::format("{}/upgrade", api), {});
    request.patience = upgrade_patience;
    return request;
}

}  // namespace penstock::app::client
