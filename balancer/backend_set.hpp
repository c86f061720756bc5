#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "balancer/backend.hpp"

namespace penstock::balancer {

/// What the configuration says of one backend, beside its identity.
struct BackendEntry {
    std::shared_ptr<Backend> backend;
    std::uint32_t weight = 1;  // 0 = no new connections
    std::uint32_t tier = 0;    // 0 first; higher tiers are back-ups
    bool ready = true;         // administrative state; false = drain or maintenance
};

/// An immutable set of backends of one upstream, shared by all workers: dense arrays indexed alike,
/// sorted by tier (stable within one), so that a tier is one contiguous range.
class BackendSet {
public:
    /// Every entry must have a backend. Throws std::bad_alloc only.
    explicit BackendSet(std::vector<BackendEntry> entries);

    /// The backends of one tier, [begin, end) of the set; never empty.
    struct Tier {
        std::uint32_t number;
        std::uint32_t begin;
        std::uint32_t end;
    };

    [[nodiscard]] std::size_t size() const noexcept { return backends_.size(); }
    [[nodiscard]] const std::vector<Tier>& tiers() const noexcept { return tiers_; }
    [[nodiscard]] Backend& backend(std::size_t i) const noexcept { return *backends_[i]; }
    [[nodiscard]] const std::shared_ptr<Backend>& share(std::size_t i) const noexcept {
        return backends_[i];
    }
    [[nodiscard]] std::uint32_t weight(std::size_t i) const noexcept { return weights_[i]; }
    [[nodiscard]] bool ready(std::size_t i) const noexcept { return ready_[i] != 0; }
    /// The share of new connections it may ever get from this set: its weight, 0 unless ready.
    [[nodiscard]] std::uint32_t usable_weight(std::size_t i) const noexcept {
        return ready(i) ? weights_[i] : 0;
    }

private:
    std::vector<std::shared_ptr<Backend>> backends_;
    std::vector<std::uint32_t> weights_;
    std::vector<std::uint8_t> ready_;
    std::vector<Tier> tiers_;
};

}  // namespace penstock::balancer
