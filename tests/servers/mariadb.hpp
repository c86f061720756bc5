#pragma once

#include <memory>
#include <string>

#include "tests/servers/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A new MariaDB in a private directory, on TCP and on a unix socket. When the test runs as root,
/// the server runs as the user mysql.
class MariaDb {
public:
    MariaDb();

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }
    [[nodiscard]] std::string socket() const { return directory_->path().string() + "/socket"; }
    /// Executes as its root.
    void execute(const std::string& sql) const;

private:
    std::unique_ptr<TempDir> directory_;
    Address address_;
    std::unique_ptr<ServerProcess> process_;
};

}  // namespace penstock::test
