#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "balancer/smooth_rotation.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// Divides the connections of a listener or route among upstreams by weight. Either in turns, or by
/// the client, so that the same one always comes to the same upstream. One object per worker, used
/// on its thread only; no call allocates.
class Split {
public:
    struct Part {
        std::string name;  // what ties a client to this part; unique in the split
        std::uint32_t weight;  // 0 = nothing
    };

    /// At least one weight is above 0. `random` decides where the turns begin, lest the workers go
    /// in step.
    Split(const std::vector<Part>& parts, Random& random);

    /// The place of the part whose turn it is: as smooth weighted round robin, so the shares are
    /// exact over each round of this worker, at any load.
    [[nodiscard]] std::size_t next() noexcept;

    /// The part of a client, of which `source` is a 64-bit hash: the same on every worker and
    /// instance that hash alike, wherever the part stands in the list. By weighted rendezvous
    /// hashing (Schindelhauer and Schomaker, 2005): another weight moves only the clients that it
    /// must, towards or away from that part.
    [[nodiscard]] std::size_t of_source(std::uint64_t source) const noexcept;

private:
    struct Target {
        std::uint32_t place;
        std::uint64_t name_hash;
        double weight;
    };

    std::vector<Target> targets_;  // the parts of a weight above 0
    SmoothRotation rotation_;  // over targets_
};

}  // namespace penstock::balancer
