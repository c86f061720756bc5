#include "health/probe/tcp_probe.hpp"

#include "health/probe/connection.hpp"

namespace penstock::health {

// Closed in order, by FIN: a reset would stand in the logs of many a server as an error. What that
// leaves behind, a TIME_WAIT for each check, is a few hundred bytes in the kernel for a minute; the
// ports are not used up by it, as each backend has all of them.
boost::asio::awaitable<ProbeResult> TcpProbe::check(ProbeTarget target, TimePoint deadline) {
    ProbeConnection connection(context_, deadline);
    auto connecting = connection.connect(target.address);
    const auto error = co_await std::move(connecting);
    if (error) co_return connection.failure(error);
    co_return ProbeResult{.ok = true, .role = Role::none, .detail = {}};
}

}  // namespace penstock::health
