#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "balancer/backend.hpp"
#include "base/clock.hpp"
#include "config/upstream.hpp"
#include "health/upstream_monitor.hpp"

namespace penstock::app {

/// Which backends of an upstream could be picked now, by name.
struct Prospect {
    std::map<std::string, std::shared_ptr<const balancer::Backend>> candidates{};
    std::set<std::string> available{};  // of any tier, full or not
    std::set<std::string> forced{};     // because of panic
    std::string choice{};               // the policy's; "" = nobody

    [[nodiscard]] const balancer::Backend* candidate(const std::string& name) const {
        const auto found = candidates.find(name);
        return found == candidates.end() ? nullptr : found->second.get();
    }
    [[nodiscard]] bool is_candidate(const std::string& name) const {
        return candidates.contains(name);
    }
};

/// By a selector of its own, which takes nothing from anybody. `key`: the client's, where clients
/// are hashed.
[[nodiscard]] Prospect prospect_of(const health::UpstreamMonitor& monitor,
                                   const config::Upstream& settings, Role asked,
                                   std::optional<std::uint64_t> key, TimePoint now);

}  // namespace penstock::app
