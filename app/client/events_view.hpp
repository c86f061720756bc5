#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

enum class TimeForm : bool { time_of_day, date_and_time };

/// `12:01:07 web/d circuit closed -> open: 5 x refused (by uid 1000)`; without a line end.
[[nodiscard]] std::string event_line(const json::value& event, TimeForm form, const Canvas& canvas);

/// `penstock events`: one line each, in the order of the answer.
[[nodiscard]] std::string events_view(const json::value& events, const Canvas& canvas);

}  // namespace penstock::app::client
