#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "admin/operations.hpp"
#include "app/operations/old_orders.hpp"
#include "app/upgrade/messages.hpp"

/// How many sessions end on which worker and in which old process, without the ending. Pure.
namespace penstock::app {

/// Sessions of one backend, of which so many are to end.
struct EndingWish {
    std::string backend{};
    std::vector<upgrade::SessionCount> workers{};  // of this process
    std::uint64_t wanted = 0;                      // no more end than are old enough
};

/// All of them, in old processes too, whether or not they are old enough.
[[nodiscard]] std::uint64_t all_sessions_of(const EndingWish& wish, const std::string& upstream,
                                            const std::vector<upgrade::OrderReply>& old);

struct EndingPlan {
    admin::Ending ending{};
    std::vector<std::vector<std::size_t>> quotas{};  // by wish, then by worker
    std::map<int, upgrade::Order> orders{};          // by the pid of the old process
};

/// `old`: what old processes have answered to count_sessions of the wishes' upstream. What they are
/// to end is said in orders `like` that one, which names the upstream.
[[nodiscard]] EndingPlan plan_ending(const std::vector<EndingWish>& wishes,
                                     const std::vector<upgrade::OrderReply>& old,
                                     const upgrade::Order& like);

}  // namespace penstock::app
