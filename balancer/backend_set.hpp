#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "balancer/backend.hpp"
#include "balancer/maglev_table.hpp"
#include "balancer/ring_table.hpp"

namespace penstock::balancer {

/// What the configuration says of one backend, beside its identity.
struct BackendEntry {
    std::shared_ptr<Backend> backend;
    std::uint32_t weight = 1;  // 0 = no new connections
    std::uint32_t tier = 0;    // 0 first; higher tiers are back-ups
    bool ready = true;         // administrative state; false = drain or maintenance
};

/// What a hash policy looks its backends up in.
enum class HashTables : std::uint8_t { none, maglev, ring };

struct SetOptions {
    /// Tiers may serve together (tier_join_below above 0).
    bool tiers_join = false;
    /// To be built for the policy of that name; milliseconds of work for each range.
    HashTables hash_tables = HashTables::none;
    std::uint64_t hash_seed = 0;
};

/// An immutable set of backends of one upstream, shared by all workers: dense arrays indexed alike,
/// sorted by tier (stable within one), so that a tier is one contiguous range. What is costly to
/// build for a policy (hash tables, one per range) belongs here, so that it is built once and off
/// the workers.
class BackendSet {
public:
    /// Every entry must have a backend. Throws std::bad_alloc only.
    explicit BackendSet(std::vector<BackendEntry> entries, const SetOptions& options = {});

    /// The backends of one tier, [begin, end) of the set; never empty.
    struct Tier {
        std::uint32_t number;
        std::uint32_t begin;
        std::uint32_t end;
    };

    /// What one policy chooses from, [begin, end) of the set.
    struct Range {
        std::uint32_t begin;
        std::uint32_t end;
    };
    /// At most so many tiers serve together; those above them serve alone.
    static constexpr std::size_t max_joining_tiers = 16;

    [[nodiscard]] std::size_t size() const noexcept { return backends_.size(); }
    [[nodiscard]] const std::vector<Tier>& tiers() const noexcept { return tiers_; }
    /// One for each tier: the tier alone; where tiers join, it and all below it.
    [[nodiscard]] const std::vector<Range>& ranges() const noexcept { return ranges_; }
    [[nodiscard]] bool tiers_join() const noexcept { return tiers_join_; }
    /// Some backend has a limit, so that it may be full.
    [[nodiscard]] bool limited() const noexcept { return limited_; }
    [[nodiscard]] Backend& backend(std::size_t i) const noexcept { return *pointers_[i]; }
    /// All of them, for a loop over many.
    [[nodiscard]] std::span<Backend* const> backends() const noexcept { return pointers_; }
    [[nodiscard]] const std::shared_ptr<Backend>& share(std::size_t i) const noexcept {
        return backends_[i];
    }
    /// Where that backend stands; O(size).
    [[nodiscard]] std::optional<std::uint32_t> find(const Backend& backend) const noexcept;
    [[nodiscard]] std::uint32_t weight(std::size_t i) const noexcept { return weights_[i]; }
    [[nodiscard]] bool ready(std::size_t i) const noexcept { return ready_[i] != 0; }
    /// The share of new connections it may ever get from this set: its weight, 0 unless ready.
    [[nodiscard]] std::uint32_t usable_weight(std::size_t i) const noexcept {
        return ready(i) ? weights_[i] : 0;
    }

    /// The table of ranges()[range]; indices count from the range's begin. Backends that are not
    /// ready stay in it, so that their keys return to them.
    [[nodiscard]] const MaglevTable& maglev_table(std::size_t range) const noexcept {
        assert(range < maglev_.size());
        return maglev_[range];
    }
    [[nodiscard]] bool has_maglev() const noexcept { return !maglev_.empty(); }
    [[nodiscard]] const RingTable& ring_table(std::size_t range) const noexcept {
        assert(range < rings_.size());
        return rings_[range];
    }
    /// A number for each backend that follows from its name and the seed; only beside hash tables.
    [[nodiscard]] std::uint64_t name_hash(std::size_t i) const noexcept { return name_hashes_[i]; }
    /// Equal on two instances whose tables and seed are; 0 without tables.
    [[nodiscard]] std::uint64_t hash_checksum() const noexcept { return hash_checksum_; }
    /// What the tables were built with, and clients' keys are to be hashed with.
    [[nodiscard]] std::uint64_t hash_seed() const noexcept { return hash_seed_; }

private:
    void build_hash_tables(HashTables kind, std::uint64_t seed);

    std::vector<std::shared_ptr<Backend>> backends_;
    std::vector<Backend*> pointers_;  // the same, without what owns them
    std::vector<std::uint32_t> weights_;
    std::vector<std::uint8_t> ready_;
    std::vector<Tier> tiers_;
    std::vector<Range> ranges_;
    std::vector<MaglevTable> maglev_;  // one per range, or none
    std::vector<RingTable> rings_;  // one per range, or none
    std::vector<std::uint64_t> name_hashes_;
    std::uint64_t hash_checksum_ = 0;
    std::uint64_t hash_seed_;
    bool tiers_join_;
    bool limited_ = false;
};

}  // namespace penstock::balancer
