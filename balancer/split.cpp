#include "balancer/split.hpp"

#include <cassert>
#include <cmath>
#include <limits>

#include "balancer/hash.hpp"

namespace penstock::balancer {

namespace {

// In (0, 1), never the ends.
double unit_of(std::uint64_t hash) noexcept {
    return (static_cast<double>(hash >> 12) + 0.5) * 0x1p-52;
}

std::vector<std::uint32_t> weights_of(const std::vector<Split::Part>& parts) {
    std::vector<std::uint32_t> weights;
    for (const auto& part : parts)
        if (part.weight != 0) weights.push_back(part.weight);
    return weights;
}

SmoothRotation rotation_of(const std::vector<std::uint32_t>& weights, Random& random) {
    SmoothRotation rotation({0, static_cast<std::uint32_t>(weights.size())}, weights);
    rotation.start_anywhere(random);
    return rotation;
}

}  // namespace

Split::Split(const std::vector<Part>& parts, Random& random)
    : rotation_(rotation_of(weights_of(parts), random)) {
    for (std::uint32_t place = 0; place < parts.size(); ++place)
        if (const auto& [name, weight] = parts[place]; weight != 0)
            targets_.push_back({place, hash64(name, 0), static_cast<double>(weight)});
    assert(!targets_.empty());
}

std::size_t Split::next() noexcept { return targets_[rotation_.next()].place; }

std::size_t Split::of_source(std::uint64_t source) const noexcept {
    double least = std::numeric_limits<double>::infinity();
    std::size_t best = targets_.front().place;
    for (const Target& target : targets_) {
        const double score = -std::log(unit_of(mix64(source ^ target.name_hash))) / target.weight;
        if (score < least) {
            least = score;
            best = target.place;
        }
    }
    return best;
}

}  // namespace penstock::balancer
