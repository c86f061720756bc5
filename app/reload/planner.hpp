#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "admin/plan.hpp"
#include "app/ledger/ledger.hpp"
#include "config/config.hpp"

namespace penstock::app {

/// What an operator has changed of a backend while running.
struct KeptOverride {
    std::optional<config::BackendState> state{};
    std::optional<std::uint32_t> weight{};
};

/// What a plan has to know of the running proxy.
struct LiveState {
    /// Sessions: of this process and of old ones that are told; of old ones alone; and of those
    /// that cannot be told.
    struct Sessions {
        std::uint64_t all = 0;
        std::uint64_t old = 0;
        std::uint64_t out_of_reach = 0;
        Sessions& operator+=(const Sessions& other) noexcept;
    };
    std::map<std::string, Sessions> listeners{};  // by name
    std::map<BackendName, Sessions> backends{};
    std::map<BackendName, KeptOverride> overrides{};
    /// Weights that operators have set of splits, by listener, in the order of the running split.
    std::map<std::string, std::vector<std::uint32_t>> splits{};
    std::map<std::string, double> moved{};  // share of keys, by upstream, where some move
};

/// What changes when `wanted` comes into force instead of `running`, and which live sessions that
/// touches. Pure.
[[nodiscard]] admin::Plan make_plan(const config::Config& running, const config::Config& wanted,
                                    const LiveState& live);

/// One line for the log: `~ upstream web connect_timeout: 4s -> 1s; new connections only`.
[[nodiscard]] std::string in_words(const admin::PlannedChange& change);

}  // namespace penstock::app
