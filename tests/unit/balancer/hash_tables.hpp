#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "balancer/hash.hpp"
#include "balancer/maglev_table.hpp"

namespace penstock::balancer::testing {

/// Names and weights to build tables from, each name alive as long as this.
class Names {
public:
    explicit Names(std::vector<std::pair<std::string, std::uint32_t>> members)
        : members_(std::move(members)) {}
    /// `count` addresses of weight 1.
    static Names addresses(std::uint32_t count) {
        std::vector<std::pair<std::string, std::uint32_t>> members;
        for (std::uint32_t i = 0; i < count; ++i)
            members.emplace_back(
                "10.0." + std::to_string(i / 250) + '.' + std::to_string(1 + i % 250) + ":8080", 1);
        return Names(std::move(members));
    }

    [[nodiscard]] std::vector<HashEntry> entries() const {
        std::vector<HashEntry> entries;
        for (const auto& [name, weight] : members_) entries.push_back({name, weight});
        return entries;
    }
    [[nodiscard]] const std::string& operator[](std::size_t i) const { return members_[i].first; }
    [[nodiscard]] std::size_t size() const { return members_.size(); }
    std::vector<std::pair<std::string, std::uint32_t>>& members() { return members_; }

private:
    std::vector<std::pair<std::string, std::uint32_t>> members_;
};

/// The name that `table` (looked up by `owner`) gives to each of `count` keys.
template <typename Owner>
std::vector<std::string> names_of_keys(const Names& names, std::uint32_t count, Owner owner) {
    std::vector<std::string> result;
    for (std::uint32_t key = 0; key < count; ++key) result.push_back(names[owner(mix64(key))]);
    return result;
}

struct Moves {
    std::size_t moved = 0;
    std::size_t elsewhere = 0;  // moved, but neither from nor to the one that came or went
};

inline Moves compare(const std::vector<std::string>& before, const std::vector<std::string>& after,
                     const std::string& changed) {
    Moves moves;
    for (std::size_t key = 0; key < before.size(); ++key) {
        if (before[key] == after[key]) continue;
        ++moves.moved;
        if (before[key] != changed && after[key] != changed) ++moves.elsewhere;
    }
    return moves;
}

}  // namespace penstock::balancer::testing
