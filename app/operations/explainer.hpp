#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "admin/operations.hpp"
#include "app/monitors.hpp"
#include "app/operations/fate.hpp"
#include "app/server.hpp"

namespace penstock::app {

/// Says who would get a connection now, and why not the others. Only looks. Control thread.
class Explainer {
public:
    using Shares = std::vector<std::pair<std::string, std::uint32_t>>;  // of a split

    /// What operators may have changed, and who knows it.
    struct Questions {
        std::function<Shares(std::size_t listener)> split;
        std::function<admin::UpstreamView(std::size_t upstream, TimePoint now)> upstream;
    };
    /// References must outlive the object.
    Explainer(Server& server, Monitors& monitors, Questions questions)
        : server_(server), monitors_(monitors), questions_(std::move(questions)) {}

    [[nodiscard]] admin::Outcome<admin::Explanation> explain(
        const admin::ExplainQuery& query) const;

private:
    /// Returns the role that is asked for there.
    Role find_route(std::size_t index, const admin::ExplainQuery& query,
                    admin::Explanation& explanation) const;
    void choose_share(const config::Listener& listener, const Shares& split,
                      const admin::ExplainQuery& query, admin::Explanation& explanation) const;
    /// What the listener's gate says to such a client now.
    [[nodiscard]] CloseReason verdict_at(std::size_t listener,
                                         const admin::ExplainQuery& query) const;
    /// Returns what becomes of the client there.
    Fate add_candidates(std::size_t upstream, Role asked, const admin::ExplainQuery& query,
                        admin::Explanation& explanation) const;
    void add_limits(std::size_t listener, const admin::ExplainQuery& query,
                    admin::Explanation& explanation) const;

    [[nodiscard]] const config::Config& config() const noexcept { return server_.config(); }

    Server& server_;
    Monitors& monitors_;
    Questions questions_;
};

}  // namespace penstock::app
