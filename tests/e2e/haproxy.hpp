#pragma once

#include <optional>
#include <string>

#include "tests/e2e/server_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// A HAProxy in the foreground. Where it listens is up to the test: `@BIND@` in its sections is an
/// address of its own.
class Haproxy {
public:
    explicit Haproxy(std::string sections);

    [[nodiscard]] const Address& address() const { return address_; }
    [[nodiscard]] std::string text() const { return address_.text(); }

private:
    TempDir directory_;
    Address address_;
    std::optional<ServerProcess> process_;
};

}  // namespace penstock::test
