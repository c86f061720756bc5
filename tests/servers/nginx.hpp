#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

struct NginxOptions {
    std::string listen{};  // more words of the listen directive, "ssl http2"
    std::string server{};  // more lines of the server block
    std::string stream{};  // lines of the stream block, "server { listen 127.0.0.1:1; ... }"
    std::string address{};  // one that the test knows to be free; empty = a private one
    bool graceful = false;  // at its end it finishes what it has begun
};

/// An nginx in one process (so that its end is the end of one pid), with a private directory.
class Nginx {
public:
    /// Answers `GET /` with 200 and `text`.
    explicit Nginx(const std::string& text, const NginxOptions& options = {});

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }

    /// SIGKILL: its port refuses until restart().
    void kill() { process_->kill(); }
    void restart() { process_->start(); }

    struct Status {
        std::uint64_t accepted = 0;
        std::uint64_t requests = 0;
    };
    /// What it has counted since its first start, without the test's own queries.
    [[nodiscard]] Status status();

private:
    TempDir directory_;
    Address address_;
    Address status_address_;
    std::uint64_t queries_ = 0;
    std::optional<ServerProcess> process_;
};

}  // namespace penstock::test
