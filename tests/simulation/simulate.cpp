// Prints what each policy does in the simulation, as comma-separated values: what plot.py draws and
// docs/balancing.md tells.
#include <cstdio>

#include "tests/simulation/simulation.hpp"

namespace {

using penstock::Duration;
using penstock::balancer::PolicyKind;
using penstock::balancer::PolicyOptions;

struct Entry {
    const char* name;
    PolicyOptions policy;
};

constexpr Entry entries[] = {
    {"least_latency", {PolicyKind::least_latency}},
    {"least_connections", {PolicyKind::least_connections}},
    {"p2c", {PolicyKind::p2c}},
    {"maglev, bounded_load 1.25", {PolicyKind::maglev, 1.25}},
    {"ring_hash, bounded_load 1.25", {PolicyKind::ring_hash, 1.25}},
    {"round_robin", {PolicyKind::round_robin}},
    {"random", {PolicyKind::random}},
    {"maglev", {PolicyKind::maglev}},
    {"ring_hash", {PolicyKind::ring_hash}},
};

double milliseconds(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
}

void print(const Entry& entry, std::uint32_t workers) {
    penstock::simulation::Scenario scenario{.workers = workers};
    scenario.runs = 200 / workers;  // as many clients for each
    const auto result = penstock::simulation::simulate(scenario, entry.policy, 1);
    std::printf("\"%s\",%u,%llu,%.1f,%.1f,%.1f,%.1f,%.1f", entry.name, workers,
                static_cast<unsigned long long>(result.clients), milliseconds(result.wait_mean),
                milliseconds(result.wait_p99), milliseconds(result.wait_p999),
                milliseconds(result.answer_mean), milliseconds(result.answer_p99));
    // One of each speed that does not stall (the fifth is like the second, which does), and the one
    // that does: in per cent of the clients.
    for (const std::size_t i : {0U, 4U, 2U, scenario.stalled})
        std::printf(",%.1f", 100 * result.shares[i]);
    std::putchar('\n');
}

}  // namespace

int main() {
    std::puts(
        "policy,workers,clients,wait_mean_ms,wait_p99_ms,wait_p999_ms,answer_mean_ms,answer_p99_ms,"
        "share_fast,share_medium,share_slow,share_stalled");
    for (const std::uint32_t workers : {1U, 10U, 100U})
        for (const Entry& entry : entries) print(entry, workers);
}
