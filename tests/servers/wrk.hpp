#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/socket.hpp"

namespace penstock::test {

/// What wrk reported.
///
/// Its connections are: one per thread of load as told, each opened again after an answer with
/// "Connection: close"; and one that carries nothing, by which it tests the address first. At its
/// end it leaves with a request under way on every connection.
struct WrkReport {
    std::string output;
    std::uint64_t requests = 0;  // complete answers
    std::uint64_t connect_errors = 0;
    std::uint64_t read_errors = 0;
    std::uint64_t write_errors = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t bad_status = 0;  // answers other than 2xx and 3xx

    [[nodiscard]] std::uint64_t errors() const {
        return connect_errors + read_errors + write_errors + timeouts + bad_status;
    }
};

enum class HttpConnections : std::uint8_t { kept_alive, one_per_request };

inline constexpr std::uint64_t wrk_probe_connections = 1;

[[nodiscard]] std::vector<std::string> wrk_command(const Address& target, unsigned connections,
                                                   unsigned seconds, HttpConnections kind);
/// Throws std::runtime_error when it is not a report.
[[nodiscard]] WrkReport parse_wrk(const std::string& output);
/// Runs it to its end.
[[nodiscard]] WrkReport run_wrk(const Address& target, unsigned connections, unsigned seconds,
                                HttpConnections kind);

}  // namespace penstock::test
