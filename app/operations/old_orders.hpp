#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/upgrade/messages.hpp"
#include "base/endpoint.hpp"
#include "config/config.hpp"

/// What the processes before this one are told, and what becomes of it, without the telling. Pure.
namespace penstock::app {

/// Where sessions of one backend are: on the workers of this process, then in old processes.
struct Places {
    std::vector<std::size_t> counts{};  // of those that are old enough
    std::vector<int> pids{};            // of the last of them

    [[nodiscard]] std::uint64_t sum() const;
};
[[nodiscard]] Places places_of(const std::vector<upgrade::SessionCount>& workers,
                               const std::vector<upgrade::OrderReply>& old,
                               const std::string& backend);

/// All sessions of a backend in old processes, also in those that take no orders.
[[nodiscard]] std::uint64_t sessions_of(const std::vector<upgrade::OrderReply>& old,
                                        const BackendName& backend);

/// A reload has put `now` in the place of `before`: sessions of what has left end there as well,
/// and backends are in the state that the file gives them.
[[nodiscard]] std::vector<upgrade::Order> orders_between(const config::Config& before,
                                                         const config::Config& now);

/// The state that a backend at this address gets by such an order (change_backend); nothing = the
/// one of its own configuration.
[[nodiscard]] std::optional<config::BackendState> state_for(const upgrade::Order& order,
                                                            const Endpoint& address);

/// `the old process 22620 (1.2.0) was not reached: 3 sessions there stay; kill -TERM 22620 ends
/// it`.
[[nodiscard]] std::string out_of_reach(const upgrade::OrderReply& reply, std::string_view what);

/// The same of sessions of a backend; "" = it was reached, or has none.
[[nodiscard]] std::string left_there(const upgrade::OrderReply& reply, const BackendName& backend);

}  // namespace penstock::app
