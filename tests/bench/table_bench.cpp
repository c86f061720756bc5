// Hash tables: building them, a look-up alone, and a pick of the policies that use them.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "balancer/hash.hpp"
#include "balancer/hash_key.hpp"
#include "balancer/selector.hpp"

namespace {

using namespace penstock;
using namespace penstock::balancer;

std::vector<std::string> make_names(std::int64_t size) {
    std::vector<std::string> names;
    for (std::int64_t i = 0; i < size; ++i)
        names.push_back("10.0." + std::to_string(i / 250) + '.' + std::to_string(1 + i % 250) +
                        ":8080");
    return names;
}

std::vector<HashEntry> make_entries(const std::vector<std::string>& names) {
    std::vector<HashEntry> entries;
    for (const auto& name : names) entries.push_back({name, 1});
    return entries;
}

void build_maglev(benchmark::State& state) {
    const auto names = make_names(state.range(0));
    const auto entries = make_entries(names);
    for (auto _ : state) benchmark::DoNotOptimize(MaglevTable(entries, 1).checksum());
}

void build_ring(benchmark::State& state) {
    const auto names = make_names(state.range(0));
    const auto entries = make_entries(names);
    for (auto _ : state) benchmark::DoNotOptimize(RingTable(entries).checksum());
}

void look_up_maglev(benchmark::State& state) {
    const auto names = make_names(state.range(0));
    const MaglevTable table(make_entries(names), 1);
    std::uint64_t key = 0;
    for (auto _ : state) benchmark::DoNotOptimize(table.at(mix64(++key)));
}

void look_up_ring(benchmark::State& state) {
    const auto names = make_names(state.range(0));
    const RingTable ring(make_entries(names));
    std::uint64_t key = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(ring.owner(ring.find(static_cast<std::uint32_t>(mix64(++key)))));
}

void pick(benchmark::State& state, PolicyKind kind, double bounded_load) {
    std::vector<BackendEntry> entries;
    for (const auto& name : make_names(state.range(0)))
        entries.push_back({std::make_shared<Backend>("up", name, Endpoint{})});
    const auto tables = kind == PolicyKind::maglev ? HashTables::maglev : HashTables::ring;
    Selector selector(
        std::make_shared<const BackendSet>(std::move(entries), SetOptions{.hash_tables = tables}),
        {.kind = kind, .bounded_load = bounded_load}, 1);
    const Bitmap tried;
    std::uint64_t key = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(
            selector.pick({.tried = tried, .key = mix64(++key), .now = TimePoint()}));
}

void hash_client(benchmark::State& state, PolicyKind kind, const char* client) {
    const auto peer = Endpoint::parse(client).value().ip();
    const KeyHasher hasher(kind, HashKey::source_ip, 0);
    for (auto _ : state) benchmark::DoNotOptimize(hasher.hash(peer));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
    for (const int size : {4, 100, 1000}) benchmark->Arg(size);
}

BENCHMARK(build_maglev)->Apply(sizes)->Unit(benchmark::kMillisecond);
BENCHMARK(build_ring)->Apply(sizes)->Unit(benchmark::kMillisecond);
BENCHMARK(look_up_maglev)->Apply(sizes);
BENCHMARK(look_up_ring)->Apply(sizes);
BENCHMARK_CAPTURE(pick, maglev, PolicyKind::maglev, 0)->Apply(sizes);
BENCHMARK_CAPTURE(pick, ring_hash, PolicyKind::ring_hash, 0)->Apply(sizes);
BENCHMARK_CAPTURE(pick, maglev_bounded, PolicyKind::maglev, 1.25)->Apply(sizes);
BENCHMARK_CAPTURE(pick, ring_hash_bounded, PolicyKind::ring_hash, 1.25)->Apply(sizes);
BENCHMARK_CAPTURE(hash_client, maglev, PolicyKind::maglev, "192.168.100.200:50000");
BENCHMARK_CAPTURE(hash_client, ring_hash, PolicyKind::ring_hash, "192.168.100.200:50000");
BENCHMARK_CAPTURE(hash_client, maglev_ipv6, PolicyKind::maglev, "[2001:db8::1:2:3:4]:50000");

}  // namespace
