#pragma once

#include <string>
#include <vector>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// Something that somebody has to look after.
struct Concern {
    Cell what;
    std::vector<std::string> details{};
};

/// All of a snapshot that needs somebody, beyond what the rows of its backends say: a reload that
/// failed, workers that stand still, certificates that end, ...
[[nodiscard]] std::vector<Concern> concerns_of(const json::value& snapshot);

}  // namespace penstock::app::client
