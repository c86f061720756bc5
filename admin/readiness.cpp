#include "admin/readiness.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "admin/responses.hpp"

namespace penstock::admin {

namespace {

// Why nobody is served who comes by these ways, as far as the roles that they ask for tell; "" = it
// is not so. One without a role, or one that works, is enough.
std::string trouble_of_roles(const std::vector<const DestinationView*>& ways) {
    std::set<std::string> asked;
    for (const auto* to : ways) {
        if (to->role == Role::none || to->available > 0) return "";
        asked.insert(fmt::format("upstream {}: no {} is available", to->upstream,
                                 penstock::name_of(to->role)));
    }
    return fmt::format("{}", fmt::join(asked, "; "));
}

// Why that upstream serves nobody; "" = it does.
std::string trouble_of(const Overview& overview, const std::string& name) {
    const auto found = std::ranges::find(overview.upstreams, name, &UpstreamView::name);
    if (found == overview.upstreams.end()) return fmt::format("there is no upstream {}", name);
    // Full ones count: their clients queue, and elsewhere they would find the same backends.
    if (found->available == 0)
        return fmt::format("upstream {}: none of {} backends is available", name,
                           found->backends.size());
    std::vector<const DestinationView*> ways;
    for (const auto& listener : overview.listeners)
        for (const auto& to : listener.destinations)
            if (to.upstream == name) ways.push_back(&to);
    return trouble_of_roles(ways);
}

std::vector<std::string> troubles_of_listener(const Overview& overview, const std::string& name) {
    const auto found = std::ranges::find(overview.listeners, name, &ListenerView::name);
    if (found == overview.listeners.end()) return {fmt::format("there is no listener {}", name)};
    std::vector<std::string> troubles;
    if (found->draining) troubles.push_back(fmt::format("listener {} is draining", name));
    std::vector<const DestinationView*> ways;
    for (const auto& to : found->destinations) ways.push_back(&to);
    if (const auto trouble = trouble_of_roles(ways); !trouble.empty())
        troubles.push_back(fmt::format("listener {}: {}", name, trouble));
    return troubles;
}

HttpResponse answer(const std::vector<std::string>& troubles, std::string_view good) {
    if (troubles.empty()) return plain_text(200, std::string(good) + "\n");
    return plain_text(503, fmt::format("{}\n", fmt::join(troubles, "\n")));
}

}  // namespace

HttpResponse livez_of(const Overview& overview) {
    std::vector<std::string> troubles;
    for (const auto& worker : overview.process.workers)
        if (worker.stuck)
            troubles.push_back(fmt::format("worker {} has not answered for {:.1f} s", worker.id,
                                           std::chrono::duration<double>(worker.silent).count()));
    return answer(troubles, "alive");
}

HttpResponse readyz_of(const Overview& overview, const config::Admin& settings,
                       const std::map<std::string, std::string>& query) {
    std::vector<std::string> troubles;
    if (!overview.process.accepting) troubles.emplace_back("the process does not accept");
    if (overview.process.draining) troubles.emplace_back("the process is draining");
    const auto upstream = query.find("upstream");
    const auto listener = query.find("listener");
    if (listener != query.end()) {
        std::ranges::copy(troubles_of_listener(overview, listener->second),
                          std::back_inserter(troubles));
    } else if (upstream == query.end()) {
        for (const auto& view : overview.listeners)
            if (view.draining)
                troubles.push_back(fmt::format("listener {} is draining", view.name));
    }
    const std::vector<std::string> asked =
        upstream != query.end() ? std::vector{upstream->second} : settings.ready_upstreams;
    for (const auto& name : asked)
        if (auto trouble = trouble_of(overview, name); !trouble.empty())
            troubles.push_back(std::move(trouble));
    return answer(troubles, "ready");
}

}  // namespace penstock::admin
