// Cost of the checks at a listener's gate: a look-up among 100,000 networks, and a connection's
// entry into the table of sources and its leaving.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include <netinet/in.h>

#include "balancer/limits/prefix_table.hpp"
#include "balancer/limits/source_table.hpp"
#include "balancer/limits/token_bucket.hpp"
#include "base/random.hpp"

namespace {

using namespace penstock;
using balancer::PrefixTable;
using balancer::SourceTable;
using balancer::TokenBucket;
using balancer::TokenLine;

constexpr TimePoint now{std::chrono::hours(1)};

Prefix random_prefix(Random& random) {
    std::array<std::uint8_t, 16> bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const bool ipv4 = random.below(2) == 0;
    for (std::size_t i = ipv4 ? 12 : 0; i < 16; ++i)
        bytes[i] = static_cast<std::uint8_t>(random.below(256));
    const unsigned length = ipv4 ? 96 + 12 + random.below(21) : 24 + random.below(41);
    return {Prefix::network_of(bytes, length), static_cast<std::uint8_t>(length)};
}

CompactEndpoint address_in(const Prefix& prefix) {
    sockaddr_in6 raw{};
    raw.sin6_family = AF_INET6;
    std::copy(prefix.bytes.begin(), prefix.bytes.end(), raw.sin6_addr.s6_addr);
    return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), sizeof raw);
}

void look_up(benchmark::State& state) {
    Random random(1);
    std::vector<PrefixTable::Entry> entries;
    std::vector<CompactEndpoint> peers;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
        const Prefix prefix = random_prefix(random);
        entries.push_back({prefix, static_cast<PrefixTable::Value>(i & 1)});
        // Half of those who ask are in a network, all in another part of the table each time.
        peers.push_back(address_in(i % 2 == 0 ? prefix : random_prefix(random)));
    }
    for (std::size_t i = peers.size(); i > 1; --i)
        std::swap(peers[i - 1], peers[random.below(static_cast<std::uint32_t>(i))]);
    const PrefixTable table(std::move(entries));
    std::size_t next = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(table.find(peers[next]));
        if (++next == peers.size()) next = 0;
    }
}
BENCHMARK(look_up)->Arg(10)->Arg(1000)->Arg(100'000);

void build(benchmark::State& state) {
    Random random(1);
    std::vector<PrefixTable::Entry> entries;
    for (std::int64_t i = 0; i < state.range(0); ++i) entries.push_back({random_prefix(random), 0});
    for (auto _ : state) benchmark::DoNotOptimize(PrefixTable(entries));
}
BENCHMARK(build)->Arg(100'000)->Unit(benchmark::kMillisecond);

void enter_and_leave(benchmark::State& state) {
    SourceTable table({100, TokenLine(1'000'000, std::chrono::seconds(1), 1'000'000)},
                      {std::size_t{1} << 17, 64}, SipHash(1, 2));
    Random random(1);
    std::vector<SourceTable::Key> keys(static_cast<std::size_t>(state.range(0)));
    for (auto& key : keys)
        for (auto& byte : key) byte = static_cast<std::uint8_t>(random.below(256));
    std::size_t next = 0;
    TimePoint at = now;
    for (auto _ : state) {
        at += std::chrono::microseconds(1);
        auto permit = table.enter(keys[next], at, [](const SourceTable::Standing& standing) {
            return !standing.over_connections && !standing.over_rate;
        });
        benchmark::DoNotOptimize(permit);
        if (++next == keys.size()) next = 0;
    }
}
BENCHMARK(enter_and_leave)->Arg(1)->Arg(1000)->Arg(100'000)->Arg(1'000'000);

void take_token(benchmark::State& state) {
    TokenBucket bucket(TokenLine(1'000'000'000, std::chrono::seconds(1), 1'000'000));
    TimePoint at = now;
    for (auto _ : state) {
        at += std::chrono::nanoseconds(100);
        auto token = bucket.try_take(at);
        token.spend();
        benchmark::DoNotOptimize(token);
    }
}
BENCHMARK(take_token);

}  // namespace
