#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/prefix.hpp"
#include "proxy/access_log/record.hpp"

namespace penstock::proxy {

/// What a session is doing, in the words of the API.
enum class Activity : std::uint8_t { connecting, queued, held, handshake, relaying, half_closed };
[[nodiscard]] std::string_view name_of(Activity activity) noexcept;

/// A live session, for the operator.
struct SessionInfo {
    ConnectionId id{};
    std::string listener{};
    unsigned worker = 0;
    std::string client{};
    std::string upstream{};  // "" = none
    std::string backend{};   // "" = none yet
    Activity activity = Activity::connecting;
    Duration age{};
    Duration idle{};
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;
    std::string server_name{};  // "" = unknown, or none
};

/// Which sessions somebody wants to see; what is empty does not restrict.
struct SessionFilter {
    std::string listener{};
    std::string upstream{};
    std::string backend{};
    std::optional<Prefix> source{};
    Duration older{};
    std::size_t limit = 1000;
};

/// Thirty-two hexadecimal digits, as in the access log.
[[nodiscard]] std::string to_string(const ConnectionId& id);
[[nodiscard]] std::optional<ConnectionId> parse_connection_id(std::string_view text) noexcept;
/// The worker that a connection lived on when it got its id.
[[nodiscard]] constexpr unsigned worker_of(const ConnectionId& id) noexcept {
    return static_cast<unsigned>(id.sequence >> 48);
}

}  // namespace penstock::proxy
