#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "balancer/policy.hpp"
#include "base/clock.hpp"

/// Clients, workers and backends in virtual time, without sockets: what a policy does to waiting.
namespace penstock::simulation {

/// Clients arrive by chance (a Poisson process) at `workers` workers, each with a selector of its
/// own over the same backends. A backend serves as many clients at a time as there are workers,
/// the rest in the order of arrival; how long each takes is exponentially distributed. For a while
/// one backend does nothing at all, as in a long collection of garbage, and nobody tells the proxy.
struct Scenario {
    std::uint32_t workers = 1;
    std::vector<double> speeds{1, 0.8, 0.6, 1, 0.8, 0.6, 1, 0.8, 0.6, 1, 0.8, 0.6};
    Duration service = std::chrono::milliseconds(50);  // mean, at speed 1
    double load = 0.7;  // of what all backends can do together
    Duration length = std::chrono::seconds(20);
    std::uint32_t stalled = 1;
    Duration stall_begin = std::chrono::seconds(5);
    Duration stall_end = std::chrono::seconds(7);
    std::uint32_t runs = 1;  // with different seeds, counted together
};

struct Result {
    std::uint64_t clients = 0;
    // Waiting: the time until the answer, less the time that the work itself took.
    Duration wait_mean{};
    Duration wait_p99{};
    Duration wait_p999{};
    // The time until the answer.
    Duration answer_mean{};
    Duration answer_p99{};
    std::vector<double> shares;  // of the clients, per backend
    std::vector<double> last_shares;  // of those in the last quarter, long after the stall
};

/// The same result for the same arguments.
[[nodiscard]] Result simulate(const Scenario& scenario, const balancer::PolicyOptions& policy,
                              std::uint64_t seed);

}  // namespace penstock::simulation
