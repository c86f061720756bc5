#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/effect.hpp"

/// What lies between two configurations, found by the key table: a new key is covered by its row.
namespace penstock::config {

enum class ChangeOp : std::uint8_t { add, remove, change };

struct Change {
    ChangeOp op = ChangeOp::change;
    /// Whom it concerns; all empty = process, logs, admin.
    std::string listener{};
    std::string upstream{};
    std::string backend{};
    /// In words: `listener web`, `upstream web`, `upstream web backend d`,
    /// `upstream web discovery dns web.internal`, `process`, `log`, `access_log`, `admin`,
    /// `admin listener unix:/run/penstock/admin.sock`.
    std::string what{};
    /// As written below `what`: `connect_timeout`, `queue.timeout`; `backend order` where the
    /// policy goes by it. "" = the whole of it came or went.
    std::string key{};
    /// As in a file, without the quotes and brackets around it. Of what came or went: its
    /// addresses, if it has some.
    std::string from{};
    std::string to{};
    Effect effect = Effect::at_once;
    bool operator==(const Change&) const = default;
};

/// Everything that is different in `to`. Listeners, upstreams and backends are known by their
/// names, discovery by type and name or path, listeners of the admin API by their addresses: their
/// order is no difference, except that of backends which the policy `first` goes by. Empty exactly
/// if the two are equal but for such order.
[[nodiscard]] std::vector<Change> diff(const Config& from, const Config& to);

/// Six hexadecimal digits for this pair of configurations, the same in every process.
[[nodiscard]] std::string digest(const Config& from, const Config& to);

/// `wanted`, but with the values of `running` where a change needs a restart: what can be in force.
[[nodiscard]] Config with_running(Config wanted, const Config& running);

}  // namespace penstock::config
