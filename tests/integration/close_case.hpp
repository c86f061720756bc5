#pragma once

#include <atomic>
#include <string>

#include "tests/integration/scenario.hpp"

/// What the tests of the close reasons share: a backend that notes its end, and the one line.
namespace penstock::test {

/// A backend's script that answers one "ping" with "pong" and then notes how the connection ends. A
/// FIN is answered with a FIN, unless `stays_after_fin`: then it waits for the reset behind it.
class Watched {
public:
    explicit Watched(bool stays_after_fin = false) : stays_after_fin_(stays_after_fin) {}
    [[nodiscard]] ChaosBackend::Script script();
    /// The end as this side saw it, once it has come.
    [[nodiscard]] End wait() const;

private:
    bool stays_after_fin_;
    std::atomic<End> seen_ = End::open;
    std::atomic<bool> done_ = false;
};

bool ping_pong(Socket& socket);

struct Expected {
    const char* reason;
    const char* close_class;
    const char* closed_by;  // nullptr: any
    std::size_t attempts;  // at least
};

/// The one close line of a proxy that served one connection; fails the test if it is not as
/// expected.
LogLine the_line(const ProxyProcess& proxy, const Expected& expected);

}  // namespace penstock::test
