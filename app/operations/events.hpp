#pragma once

#include <string>

#include "admin/events.hpp"
#include "health/actions.hpp"

namespace penstock::app {

/// What health tells, in the words of the API.
[[nodiscard]] admin::Event event_of(const std::string& upstream, const health::Event& event);

}  // namespace penstock::app
