// Cost of choosing a backend, per policy and size of the upstream. "some down" leaves two of three
// backends available, "most down" one of ten. The permits of a pick are given back within the
// measured time.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "balancer/selector.hpp"

namespace {

using namespace penstock;
using balancer::PolicyKind;

constexpr TimePoint noon{std::chrono::hours(12)};

enum class Available : std::uint8_t { all, some_down, most_down };

bool is_up(Available available, std::uint32_t i) {
    switch (available) {
        case Available::all: return true;
        case Available::some_down: return i % 3 != 1;
        case Available::most_down: return i % 10 == 0;
    }
    std::unreachable();
}

// Uneven loads and latencies, so that comparing them is not the same way every time.
std::shared_ptr<const balancer::BackendSet> make_set(std::uint32_t size,
                                                     balancer::BackendLimits limits = {}) {
    std::vector<balancer::BackendEntry> entries;
    for (std::uint32_t i = 0; i < size; ++i)
        entries.push_back(
            {std::make_shared<balancer::Backend>("up", std::to_string(i), Endpoint{}, limits),
             1 + i % 4});
    auto set = std::make_shared<const balancer::BackendSet>(std::move(entries));
    Random random(1);
    for (std::uint32_t i = 0; i < size; ++i) {
        for (auto n = random.below(16); n > 0; --n) set->backend(i).session_started();
        set->backend(i).latency().record(std::chrono::microseconds(random.below(20'000)), noon);
    }
    return set;
}

void measure(benchmark::State& state, balancer::Selector& selector, const balancer::Bitmap& tried) {
    TimePoint now = noon;
    for (auto _ : state) {
        now += std::chrono::microseconds(10);
        benchmark::DoNotOptimize(selector.pick({.tried = tried, .key = {}, .now = now}));
    }
}

void pick(benchmark::State& state, PolicyKind kind, Available available) {
    const auto size = static_cast<std::uint32_t>(state.range(0));
    balancer::Selector selector(make_set(size), {.kind = kind}, 1);
    for (std::uint32_t i = 0; i < size; ++i) selector.set_available(i, is_up(available, i));
    measure(state, selector, {});
}

// As pick(), for a client that has tried one backend.
void pick_again(benchmark::State& state, PolicyKind kind) {
    const auto size = static_cast<std::uint32_t>(state.range(0));
    balancer::Selector selector(make_set(size), {.kind = kind}, 1);
    balancer::Bitmap tried(size);
    tried.set(0);
    measure(state, selector, tried);
}

// As pick(), where each backend has limits, none of which is reached.
void pick_limited(benchmark::State& state, PolicyKind kind) {
    const auto size = static_cast<std::uint32_t>(state.range(0));
    balancer::Selector selector(make_set(size, {.connections = 100, .connecting = 10}),
                                {.kind = kind}, 1);
    measure(state, selector, {});
}

// As pick(), while one backend is in its slow start.
void pick_ramping(benchmark::State& state, PolicyKind kind) {
    const auto set = make_set(static_cast<std::uint32_t>(state.range(0)));
    set->backend(0).start_slowly(noon);
    balancer::Selector selector(set,
                                {.kind = kind, .slow_start = {.window = std::chrono::hours(1)}}, 1);
    measure(state, selector, {});
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    for (const int size : {4, 16, 100, 1000}) benchmark->Arg(size);
}

#define PENSTOCK_PICK(policy)                                                             \
    BENCHMARK_CAPTURE(pick, policy, PolicyKind::policy, Available::all)->Apply(sizes);    \
    BENCHMARK_CAPTURE(pick, policy##_some_down, PolicyKind::policy, Available::some_down) \
        ->Apply(sizes);                                                                   \
    BENCHMARK_CAPTURE(pick, policy##_most_down, PolicyKind::policy, Available::most_down) \
        ->Apply(sizes);                                                                   \
    BENCHMARK_CAPTURE(pick_again, policy, PolicyKind::policy)->Apply(sizes);              \
    BENCHMARK_CAPTURE(pick_limited, policy, PolicyKind::policy)->Apply(sizes);            \
    BENCHMARK_CAPTURE(pick_ramping, policy, PolicyKind::policy)->Apply(sizes)

PENSTOCK_PICK(p2c);
PENSTOCK_PICK(random);
PENSTOCK_PICK(round_robin);
PENSTOCK_PICK(least_connections);
PENSTOCK_PICK(least_latency);
PENSTOCK_PICK(first);

}  // namespace
