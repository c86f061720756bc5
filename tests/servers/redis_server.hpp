#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A Redis without persistence.
class RedisServer {
public:
    /// `more`: further options, as on its command line.
    explicit RedisServer(const std::vector<std::string>& more = {});
    /// With that configuration file, to which the address is added, on an address that the test
    /// knows to be free. Redis may rewrite the file.
    RedisServer(const Address& address, const std::string& file);

    /// Its end without a word, and the start afterwards.
    void kill() { process_->kill(); }
    void start() { process_->start(); }

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }
    /// How often a command was executed ("set"), by the server's own count.
    [[nodiscard]] std::uint64_t calls(const std::string& command) const;

private:
    TempDir directory_;
    Address address_;
    std::optional<ServerProcess> process_;
};

/// What redis-cli prints. Throws std::runtime_error when it fails.
std::string redis_cli(const Address& server, const std::vector<std::string>& command);

/// A command as Redis reads it.
[[nodiscard]] std::string redis_command(const std::vector<std::string>& words);
/// A string as Redis answers it.
[[nodiscard]] std::string redis_bulk(const std::string& value);

}  // namespace penstock::test
