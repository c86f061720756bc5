#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "admin/model.hpp"
#include "metrics/exposition.hpp"

/// The parts of the page for Prometheus, in the order of the page, and what they have in common.
namespace penstock::admin::metrics_parts {

using metrics::Exposition;
using metrics::Labels;

enum class Type : std::uint8_t { counter, gauge, histogram };

/// Begins a family; its name on the page has `penstock_` before it.
void begin(Exposition& page, Type type, std::string_view name, std::string_view help);
[[nodiscard]] double epoch_seconds(WallTime time);
[[nodiscard]] inline std::uint64_t from_bool(bool value) noexcept { return value ? 1 : 0; }
/// The labels and one more.
[[nodiscard]] Labels with(Labels labels, std::string name, std::string_view value);

/// What there is, then what has left.
template <typename View>
[[nodiscard]] std::vector<const View*> list(const std::vector<View>& present,
                                            const std::vector<View>& departed = {}) {
    std::vector<const View*> all;
    all.reserve(present.size() + departed.size());
    for (const View& view : present) all.push_back(&view);
    for (const View& view : departed) all.push_back(&view);
    return all;
}

/// What listeners count, handshakes included, and their limits and queues.
void add_listeners(Exposition& page, const Overview& overview);
/// How connections have ended, and how long they took to be set up.
void add_sessions(Exposition& page, const Overview& overview);
void add_upstreams(Exposition& page, const Overview& overview);
void add_backends(Exposition& page, const Overview& overview);

}  // namespace penstock::admin::metrics_parts
