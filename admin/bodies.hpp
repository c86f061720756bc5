#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "admin/events.hpp"
#include "admin/model.hpp"
#include "admin/operations.hpp"
#include "admin/plan.hpp"

namespace penstock::admin {

// The bodies of the API (docs/admin-api.md). Units are suffixes of the keys; what is unknown is
// absent or null; enumerations are spelled as in the configuration.

[[nodiscard]] boost::json::value to_json(const ProcessView& process);
[[nodiscard]] boost::json::value to_json(const std::vector<ListenerView>& listeners);
[[nodiscard]] boost::json::value to_json(const std::vector<UpstreamView>& upstreams);
[[nodiscard]] boost::json::value to_json(const UpstreamView& upstream);
[[nodiscard]] boost::json::value to_json(const std::vector<proxy::SessionInfo>& sessions);
[[nodiscard]] boost::json::value to_json(const Event& event);
[[nodiscard]] boost::json::value to_json(const std::vector<Event>& events);
[[nodiscard]] boost::json::value to_json(const Explanation& explanation);
[[nodiscard]] boost::json::value to_json(const Done& done);
[[nodiscard]] boost::json::value to_json(const Ending& ending);
/// `{"status": ..., "listeners": ..., "upstreams": ...}`
[[nodiscard]] boost::json::value to_json(const Overview& overview);
/// `{"digest": ..., "changes": [...], "sessions": {...}, "errors": [...], "warnings": [...]}`
[[nodiscard]] boost::json::object to_json(const Plan& plan);
[[nodiscard]] boost::json::value to_json(const Upgraded& upgraded, int old_pid);
/// `{"error": "...", "details": [...]}`
[[nodiscard]] boost::json::value to_json(const Refusal& refusal);

/// RFC 3339, UTC, milliseconds.
[[nodiscard]] std::string time_text(WallTime time);

}  // namespace penstock::admin
