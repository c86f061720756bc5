#include "balancer/maglev_table.hpp"

#include <algorithm>
#include <queue>

#include "balancer/hash.hpp"

namespace penstock::balancer {

namespace {

constexpr std::uint32_t nobody = 0xffff'ffff;

// A backend of weight w takes a turn every turn_unit / w, from a phase of its own: so the turns of
// those that stay keep their order when others come and go. `slots` turns of weight 1 fit 64 bits.
constexpr std::uint64_t turn_unit = std::uint64_t{1} << 44;

struct Player {
    std::uint64_t turn;  // when it takes the next
    std::uint64_t interval;
    std::uint32_t rank;  // by name
    std::uint32_t slot;  // the next of its permutation
    std::uint32_t skip;

    // For std::priority_queue, which has the greatest on top.
    bool operator<(const Player& other) const noexcept {
        return turn != other.turn ? turn > other.turn : rank > other.rank;
    }
};

Player make_player(const HashEntry& entry, std::uint32_t rank, std::uint64_t seed) noexcept {
    const Hash128 hash = hash128(entry.name, seed);
    const std::uint64_t interval = turn_unit / entry.weight;
    const std::uint64_t phase = (hash.low ^ hash.high) >> 44;  // of 2^20
    return {.turn = (interval >> 20) * phase,
            .interval = interval,
            .rank = rank,
            .slot = static_cast<std::uint32_t>(hash.low % MaglevTable::slots),
            .skip = static_cast<std::uint32_t>(hash.high % (MaglevTable::slots - 1) + 1)};
}

// The rank in each slot.
std::vector<std::uint32_t> fill(std::vector<Player> players) {
    std::vector<std::uint32_t> ranks(MaglevTable::slots, nobody);
    std::priority_queue<Player> queue({}, std::move(players));
    for (std::uint32_t left = MaglevTable::slots; left != 0; --left) {
        Player player = queue.top();
        queue.pop();
        while (ranks[player.slot] != nobody)
            player.slot = (player.slot + player.skip) % MaglevTable::slots;
        ranks[player.slot] = player.rank;
        player.turn += player.interval;
        queue.push(player);
    }
    return ranks;
}

}  // namespace

std::vector<std::uint32_t> order_by_name(std::span<const HashEntry> entries) {
    std::vector<std::uint32_t> order(entries.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return entries[i].name; });
    return order;
}

MaglevTable::MaglevTable(std::span<const HashEntry> entries, std::uint64_t seed) {
    auto order = order_by_name(entries);
    std::erase_if(order, [&](std::uint32_t i) { return entries[i].weight == 0; });
    if (order.empty()) return;
    std::vector<Player> players;
    players.reserve(order.size());
    std::uint64_t names = 0;
    for (const std::uint32_t i : order) {
        players.push_back(
            make_player(entries[i], static_cast<std::uint32_t>(players.size()), seed));
        names = hash64(entries[i].name, names);
    }
    owners_ = fill(std::move(players));
    checksum_ = hash64(owners_, names ^ seed);
    for (std::uint32_t& owner : owners_) owner = order[owner];
}

}  // namespace penstock::balancer
