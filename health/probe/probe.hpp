#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/role.hpp"

namespace penstock::health {

/// What one check found out.
struct ProbeResult {
    bool ok = false;
    Role role = Role::none;  // as the server reports it, whether it is ok or not; none = it did not
    /// For the operator: `connection refused`, `time-out after 1 s while connecting`, `HTTP 503`.
    /// Never empty for a failure; at most 200 characters, printable, without what is secret.
    std::string detail;
};

/// A server to be checked.
struct ProbeTarget {
    Endpoint address;  // the check's port applied
    std::string host;  // the host name of the backend's address; "" = none was given
    /// Where checks verify: whom its certificate has to name (config::verify_name()).
    std::string verify_name{};
};

/// One way to check a server. An object belongs to one upstream and serves all its backends, many
/// checks at a time; it keeps nothing of a check beyond its end. Control thread.
class Probe {
public:
    virtual ~Probe() = default;

    /// Connects, talks, and closes the connection on every path. Ends by `deadline`, as a failure
    /// that says what it was waiting for. Takes at most max_answer bytes from the server. What the
    /// network does is in the result; throws std::bad_alloc only.
    [[nodiscard]] virtual boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                                    TimePoint deadline) = 0;

    static constexpr std::size_t max_answer = std::size_t{64} << 10;
};

}  // namespace penstock::health
