#pragma once

#include <map>
#include <optional>
#include <string>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A Prometheus server that scrapes one target each second.
class Prometheus {
public:
    explicit Prometheus(const Address& target);

    /// The values of an instant query, by their labels as it writes them: `{reason="completed"}`.
    [[nodiscard]] std::map<std::string, double> query(const std::string& expression) const;
    /// Of a query with one result; nothing while there is none.
    [[nodiscard]] std::optional<double> value(const std::string& expression) const;

private:
    TempDir directory_;
    Address address_;
    std::optional<ServerProcess> process_;
};

}  // namespace penstock::test
