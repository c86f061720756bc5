#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "admin/model.hpp"
#include "balancer/backend.hpp"
#include "config/upstream.hpp"

namespace penstock::app {

/// What a policy compares its candidates by: the least wins. Nothing for policies that take turns,
/// draw, or hash.
[[nodiscard]] std::optional<double> score_of(config::Balance balance,
                                             const admin::BackendView& view,
                                             const balancer::Backend& backend, TimePoint now);

/// A backend that may be picked.
struct Scored {
    std::string name;
    std::optional<double> score;
    double weight;
};

/// Who gets the connection, and in which sense: name and note. `by_policy`: whom the policy itself
/// chose just now; that means something where it is not left to chance or turns.
[[nodiscard]] std::pair<std::string, std::string> choose(config::Balance balance,
                                                         const std::vector<Scored>& candidates,
                                                         const std::string& by_policy,
                                                         bool has_key);

/// Why a backend is no candidate: a word and a clause. `available`: to clients that ask for that
/// role.
[[nodiscard]] std::pair<std::string, std::string> exclusion_for(const admin::BackendView& view,
                                                                Role asked, bool available);

}  // namespace penstock::app
