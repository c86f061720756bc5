#pragma once

#include <cstdint>

#include "balancer/policy.hpp"

namespace penstock::balancer {

/// The first in the order of the set that has room: backends fill up to their limits one after the
/// other, so that as few as possible are in use. Weights say nothing here, except that one whose
/// slow start is at a tenth is passed over nine times in ten, while there are others.
class FirstWithRoom final : public Policy {
public:
    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
};

}  // namespace penstock::balancer
