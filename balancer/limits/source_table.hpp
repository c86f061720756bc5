#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "balancer/limits/token_bucket.hpp"
#include "base/clock.hpp"
#include "base/sip_hash.hpp"

namespace penstock::balancer {

class SourceTable;

/// A connection's place in the account of its source; given back when destroyed, on any thread.
class [[nodiscard]] SourcePermit {
public:
    using Handle = std::uint32_t;
    static constexpr Handle none = 0;

    SourcePermit() = default;
    SourcePermit(SourcePermit&& other) noexcept
        : table_(other.table_), handle_(std::exchange(other.handle_, none)) {}
    SourcePermit& operator=(SourcePermit&& other) noexcept;
    ~SourcePermit() { release(); }

    [[nodiscard]] explicit operator bool() const noexcept { return handle_ != none; }
    void release() noexcept;
    /// Lets the caller keep the place in books of its own; SourceTable::leave() gives it back.
    [[nodiscard]] Handle keep() noexcept { return std::exchange(handle_, none); }

private:
    friend class SourceTable;
    SourcePermit(SourceTable* table, Handle handle) noexcept : table_(table), handle_(handle) {}
    SourceTable* table_ = nullptr;
    Handle handle_ = none;
};

/// Counts the connections and spends the tokens of each source. Any thread: shards with a lock
/// each, held for one look-up. Its memory is taken at the start and bounded: a new source in a full
/// shard replaces the one that has had no connection for longest (its spent tokens are forgotten);
/// where every source has connections the new one is let in without an account. Both are counted.
class SourceTable {
public:
    using Key = std::array<std::uint8_t, 16>;

    struct Limits {
        std::uint64_t connections = 0;  // of one source, 0 = unlimited
        std::optional<TokenLine> rate;  // of one source
        bool operator==(const Limits&) const = default;
    };
    struct Size {
        std::size_t sources = std::size_t{1} << 16;  // at most 2^26
        std::size_t shards = 64;  // a power of two, at most 64
    };
    /// How a source stands before it gets another connection.
    struct Standing {
        bool over_connections = false;
        bool over_rate = false;
    };
    /// `hash` has a secret key, so that nobody can fill one chain.
    SourceTable(const Limits& limits, const Size& size, SipHash hash);
    SourceTable(const SourceTable&) = delete;
    SourceTable& operator=(const SourceTable&) = delete;
    ~SourceTable();

    /// `decide(Standing)` says whether the connection enters; only then it is counted and spends a
    /// token if there is one. It runs under the shard's lock and must not block. The permit is
    /// empty also where the connection enters without an account.
    template <typename Decide>
    [[nodiscard]] SourcePermit enter(const Key& key, TimePoint now, Decide decide) {
        Shard& shard = shards_[shard_of(hash_(key))];
        const std::lock_guard lock(shard.mutex);
        const Index found = find(shard, key);
        if (!decide(found == nothing ? Standing{} : standing(shard.nodes[found], now))) return {};
        return count(shard, found, key, now);
    }
    /// Gives back the place of a permit that was kept.
    void leave(SourcePermit::Handle handle) noexcept;

    /// From now on. Connections stay counted; where the rate is another one, every source has all
    /// its tokens again. Takes every shard's lock.
    void set_limits(const Limits& limits);

    /// Connections of a source that are counted now.
    [[nodiscard]] std::uint32_t connections(const Key& key);
    /// Tokens of a source that are spent now, as TokenLine::used().
    [[nodiscard]] std::uint64_t tokens_used(const Key& key, TimePoint now);
    /// Sources that lost their account, or got none, because the table was full.
    [[nodiscard]] std::uint64_t overflows() const noexcept { return overflows_.load(); }

private:
    using Index = std::uint32_t;
    static constexpr Index nothing = ~Index{0};

    struct Node {
        Key key;
        std::uint64_t spent;
        std::uint32_t active;
        Index next;  // in its chain, or among the free ones
        Index older;  // among those without connections
        Index newer;
    };
    struct alignas(64) Shard {
        std::mutex mutex;
        std::vector<Index> chains;
        std::unique_ptr<Node[]> nodes;  // pages are touched when they are used
        Index used = 0;
        Index oldest = nothing;  // without connections
        Index newest = nothing;
    };

    [[nodiscard]] std::size_t shard_of(std::uint64_t hash) const noexcept {
        return (hash >> 58) & (shard_count_ - 1);
    }
    [[nodiscard]] Index& chain(Shard& shard, const Key& key) const noexcept {
        return shard.chains[hash_(key) & (shard.chains.size() - 1)];
    }
    [[nodiscard]] Index find(Shard& shard, const Key& key) const noexcept;
    [[nodiscard]] Standing standing(const Node& node, TimePoint now) const noexcept;
    [[nodiscard]] SourcePermit count(Shard& shard, Index found, const Key& key,
                                     TimePoint now) noexcept;
    [[nodiscard]] Index make_room(Shard& shard, TimePoint now) noexcept;
    void insert(Shard& shard, Index at, const Key& key) noexcept;
    void unchain(Shard& shard, Index at) noexcept;
    void rest(Shard& shard, Index at) noexcept;
    void wake(Shard& shard, Index at) noexcept;

    Limits limits_;  // written under the locks of all shards, read under one
    const SipHash hash_;
    const std::size_t shard_count_;
    const Index shard_size_;
    std::unique_ptr<Shard[]> shards_;
    std::atomic<std::uint64_t> overflows_{0};
};

inline SourcePermit& SourcePermit::operator=(SourcePermit&& other) noexcept {
    if (this == &other) return *this;
    release();
    table_ = other.table_;
    handle_ = std::exchange(other.handle_, none);
    return *this;
}

inline void SourcePermit::release() noexcept {
    if (const Handle handle = std::exchange(handle_, none); handle != none) table_->leave(handle);
}

}  // namespace penstock::balancer
