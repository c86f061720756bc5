#pragma once

#include <boost/json/object.hpp>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/admin_scenario.hpp"

/// What the tests of reloads and upgrades have in common.
namespace penstock::test {

/// Sessions that a change leaves alone end by themselves: no drain comes in between.
inline constexpr const char* patient_drain = R"({ wait = "5m", close_over = "10s" })";

/// An answer with its status and, where there is one, its JSON.
struct Answer {
    int status = 0;
    json::value body{};
    std::string text{};
};

inline Answer post(const ProxyProcess& proxy, const std::string& target,
                   const std::string& body = "", milliseconds limit = patience) {
    const HttpAnswer answer =
        proxy.admin().send({.method = "POST", .target = target, .body = body}, limit);
    boost::system::error_code error;
    json::value parsed = json::parse(answer.body, error);
    if (error) parsed = json::object{};
    return {answer.status, std::move(parsed), answer.body};
}

inline Answer plan_of(const ProxyProcess& proxy) { return post(proxy, "/api/v1/plan"); }

inline Answer reload_now(const ProxyProcess& proxy, const std::string& expect = "") {
    const std::string body =
        expect.empty() ? "" : json::serialize(json::object{{"expect", expect}});
    return post(proxy, "/api/v1/reload", body, 60s);
}

inline json::value status_of(const ProxyProcess& proxy) {
    return get_json(proxy.admin(), "/api/v1/status");
}

inline std::string config_of(const ProxyProcess& proxy) {
    return proxy.admin().get("/api/v1/config").body;
}

/// The changes of a plan, `op what key`, sorted.
inline std::multiset<std::string> changes_in(const Answer& answer) {
    std::multiset<std::string> found;
    const auto* changes = answer.body.as_object().if_contains("changes");
    if (changes == nullptr) return {"no changes in: " + answer.text};
    for (const auto& change : changes->as_array()) {
        std::string line(change.at("op").as_string());
        line += " " + std::string(change.at("what").as_string());
        const auto* key = change.as_object().if_contains("key");
        if (key != nullptr && key->is_string() && !key->as_string().empty())
            line += " " + std::string(key->as_string());
        found.insert(line);
    }
    return found;
}

/// Errors of a plan or a reload, one line each.
inline std::string errors_in(const Answer& answer) {
    std::string lines;
    const auto* errors = answer.body.as_object().if_contains("errors");
    if (errors == nullptr) return lines;
    for (const auto& error : errors->as_array()) {
        lines += text(error.at("file")) + ":" + text(error.at("line")) + ": " +
                 std::string(error.at("message").as_string()) + "\n";
    }
    return lines;
}

/// Counters that were smaller later than before, or gone.
inline std::vector<std::string> went_backwards(const MetricsPage& before,
                                               const MetricsPage& after) {
    std::vector<std::string> found;
    for (const auto& [sample, value] : before.samples()) {
        const std::string name = sample.substr(0, sample.find('{'));
        const bool counts = name.ends_with("_total") || name.ends_with("_count") ||
                            name.ends_with("_sum") || name.ends_with("_bucket");
        if (!counts || name.starts_with("process_")) continue;
        if (!after.has(sample))
            found.push_back(sample + " is gone");
        else if (after.samples().at(sample) < value)
            found.push_back(sample + ": " + std::to_string(value) + " -> " +
                            std::to_string(after.samples().at(sample)));
    }
    return found;
}

/// Who answers a new connection: the first of `servers` whose count of connections rises.
inline std::size_t served_by(const Address& address, const std::vector<EchoServer*>& servers) {
    std::vector<unsigned> before;
    for (const EchoServer* server : servers) before.push_back(server->accepted());
    if (!echo_once(address)) return servers.size();
    for (std::size_t i = 0; i < servers.size(); ++i)
        if (servers[i]->accepted() > before[i]) return i;
    return servers.size();
}

inline json::value upstream_of(const ProxyProcess& proxy, const std::string& name = "in") {
    return get_json(proxy.admin(), "/api/v1/upstreams/" + name);
}

inline json::value backend_of(const ProxyProcess& proxy, std::string_view name,
                              const std::string& upstream = "in") {
    const auto view = upstream_of(proxy, upstream);
    for (const auto& backend : view.at("backends").as_array())
        if (backend.at("name").as_string() == name) return backend;
    ADD_FAILURE() << "no backend " << name << " in " << text(view);
    return json::object{};
}

inline double number(const json::value& value) { return value.to_number<double>(); }

}  // namespace penstock::test
