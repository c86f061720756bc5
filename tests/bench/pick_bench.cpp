// Cost of choosing a backend, per policy and size of the upstream. "some down" leaves two of three
// backends available, "most down" one of ten.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "balancer/selector.hpp"

namespace {

using namespace penstock;
using balancer::PolicyKind;

enum class Available : std::uint8_t { all, some_down, most_down };

bool is_up(Available available, std::uint32_t i) {
    switch (available) {
        case Available::all: return true;
        case Available::some_down: return i % 3 != 1;
        case Available::most_down: return i % 10 == 0;
    }
    std::unreachable();
}

void pick(benchmark::State& state, PolicyKind kind, Available available) {
    const auto size = static_cast<std::uint32_t>(state.range(0));
    std::vector<balancer::BackendEntry> entries;
    for (std::uint32_t i = 0; i < size; ++i)
        entries.push_back(
            {std::make_shared<balancer::Backend>("up", std::to_string(i), Endpoint{}), 1 + i % 4});
    auto set = std::make_shared<const balancer::BackendSet>(std::move(entries));
    // Uneven loads, so that comparing them is not the same way every time.
    Random random(1);
    for (std::uint32_t i = 0; i < size; ++i)
        for (auto n = random.below(16); n > 0; --n) set->backend(i).session_started();
    balancer::Selector selector(std::move(set), kind, 1);
    for (std::uint32_t i = 0; i < size; ++i) selector.set_available(i, is_up(available, i));

    const balancer::Bitmap tried;
    for (auto _ : state) benchmark::DoNotOptimize(selector.pick(tried));
}

// As pick(), for a client that has tried one backend.
void pick_again(benchmark::State& state, PolicyKind kind) {
    const auto size = static_cast<std::uint32_t>(state.range(0));
    std::vector<balancer::BackendEntry> entries;
    for (std::uint32_t i = 0; i < size; ++i)
        entries.push_back(
            {std::make_shared<balancer::Backend>("up", std::to_string(i), Endpoint{})});
    balancer::Selector selector(std::make_shared<const balancer::BackendSet>(std::move(entries)),
                                kind, 1);
    balancer::Bitmap tried(size);
    tried.set(0);
    for (auto _ : state) benchmark::DoNotOptimize(selector.pick(tried));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    for (const int size : {1, 3, 100, 1000}) benchmark->Arg(size);
}

#define PENSTOCK_PICK(policy)                                                             \
    BENCHMARK_CAPTURE(pick, policy, PolicyKind::policy, Available::all)->Apply(sizes);    \
    BENCHMARK_CAPTURE(pick, policy##_some_down, PolicyKind::policy, Available::some_down) \
        ->Apply(sizes);                                                                   \
    BENCHMARK_CAPTURE(pick, policy##_most_down, PolicyKind::policy, Available::most_down) \
        ->Apply(sizes);                                                                   \
    BENCHMARK_CAPTURE(pick_again, policy, PolicyKind::policy)->Apply(sizes)

PENSTOCK_PICK(p2c);
PENSTOCK_PICK(random);
PENSTOCK_PICK(round_robin);
PENSTOCK_PICK(least_connections);

}  // namespace
