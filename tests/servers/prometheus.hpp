#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A Prometheus server.
class Prometheus {
public:
    /// Scrapes this target each second, as job `penstock`.
    explicit Prometheus(const Address& target);
    /// Runs with this configuration file.
    explicit Prometheus(const std::filesystem::path& configuration);

    /// The values of an instant query, by their labels as it writes them: `{reason="completed"}`.
    /// Throws std::runtime_error with the server's words when it does not understand.
    [[nodiscard]] std::map<std::string, double> query(const std::string& expression) const;
    /// Of a query with one result; nothing while there is none.
    [[nodiscard]] std::optional<double> value(const std::string& expression) const;
    /// The field `data` of what its API answers at this path (below /api/v1/), as JSON.
    [[nodiscard]] std::string data(const std::string& path) const;

private:
    void start(const std::filesystem::path& configuration);

    TempDir directory_;
    Address address_;
    std::optional<ServerProcess> process_;
};

}  // namespace penstock::test
