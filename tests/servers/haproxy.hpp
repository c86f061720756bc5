#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

struct HaproxyOptions {
    std::string mode = "tcp";
    std::string bind{};      // more words of the bind line, "accept-proxy"
    std::string server{};    // more words of the server line, "send-proxy-v2 check"
    std::string frontend{};  // more lines of the frontend
    std::string backend{};   // more lines of the backend
    std::string global{};    // more lines of the global section
};

/// An HAProxy in one process with one thread, and a private directory.
class Haproxy {
public:
    /// Relays to `server` ("127.0.0.1:80"); empty = none, then lines of `frontend` must answer.
    explicit Haproxy(std::string_view server, const HaproxyOptions& options = {});

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }

    /// SIGKILL: its port refuses until restart().
    void kill() { process_->kill(); }
    void restart() { process_->start(); }

private:
    TempDir directory_;
    Address address_;
    std::optional<ServerProcess> process_;
};

}  // namespace penstock::test
