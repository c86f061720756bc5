#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// The answer to a change: what was done in one sentence of the client's, then what the proxy adds:
/// single values as `key: value`, lists of objects as tables.
[[nodiscard]] std::string answer_view(const std::string& done, const json::value& answer,
                                      const Canvas& canvas);

/// A refusal in words. `body` is the answer's; anything but the API's form of an error is said to
/// be none.
[[nodiscard]] std::string refusal_text(unsigned status, std::string_view body,
                                       const std::string& address);

}  // namespace penstock::app::client
