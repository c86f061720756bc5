#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// The answer to a change: what was done, in a sentence of the client's, then what the proxy adds.
[[nodiscard]] std::string answer_view(const std::string& done, const json::value& answer,
                                      const Canvas& canvas);

/// The answer to an order that ends sessions of `subject`: how many of them, and of which backends.
[[nodiscard]] std::string ending_view(const std::string& subject, bool dry_run,
                                      const json::value& answer, const Canvas& canvas);

/// A refusal in words. `body` is the answer's; anything but the API's form of an error is said to
/// be none.
[[nodiscard]] std::string refusal_text(unsigned status, std::string_view body,
                                       const std::string& address);

}  // namespace penstock::app::client
