#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/deadline.hpp"

namespace penstock::test {

struct LogAttempt {
    std::string backend;
    std::string address;
    std::string error;  // empty: this one succeeded
    double ms = 0;
};

/// What a line says about TLS with the client.
struct LogTls {
    bool present = false;
    std::string version;
    std::string cipher;
    bool resumed = false;
    std::string client_cert;
};

/// One line of the JSON access log, checked against the contract.
struct LogLine {
    std::string raw;
    std::string problem;  // empty, or what the contract forbids about this line
    std::string event, time, id, listener, client, peer, local, route, sni, alpn, upstream, backend,
        backend_address, backend_local, closed_by, reason, close_class, detail;
    std::string worker;
    std::vector<LogAttempt> attempts;
    LogTls tls;
    std::optional<double> queue_ms, tls_ms, connect_ms, first_byte_ms;
    bool warm = false;
    double duration_ms = 0;
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;
};

/// Parses and checks: one JSON object, keys known and in the contract's order, required keys there,
/// class a function of the reason, times well formed and not negative, no byte below 0x20, valid
/// UTF-8.
[[nodiscard]] LogLine parse_log_line(std::string_view line);

/// Class that the contract gives to a reason; empty for an unknown one.
[[nodiscard]] std::string_view class_of_reason(std::string_view reason);

/// Reads the log file that a proxy writes.
class AccessLogReader {
public:
    explicit AccessLogReader(std::filesystem::path path) : path_(std::move(path)) {}

    /// All complete lines so far; a last line without its end is left out unless `with_partial`.
    [[nodiscard]] std::vector<LogLine> lines(bool with_partial = false) const;
    /// Waits until at least `count` lines are there, or the time is over; returns what is there.
    [[nodiscard]] std::vector<LogLine> wait_for_lines(std::size_t count,
                                                      milliseconds limit = patience) const;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

[[nodiscard]] std::string read_file(const std::filesystem::path& path);

}  // namespace penstock::test
