#include "health/probe/tls_probe.hpp"

#include <utility>

#include "health/probe/connection.hpp"
#include "health/probe/detail.hpp"

namespace penstock::health {

namespace {

boost::asio::awaitable<ProbeResult> run(boost::asio::io_context& context, Duration timeout,
                                        std::shared_ptr<const net::TlsClientContext> tls,
                                        ProbeTarget target, TimePoint deadline) {
    Stream stream(context, deadline, timeout);
    std::string name = server_name_of(target.host);
    auto opening = open(stream, std::move(target.address), std::move(tls), std::move(name));
    if (!co_await std::move(opening)) co_return failure(stream.error());
    co_return success(stream.tls_protocol());
}

}  // namespace

TlsProbe::TlsProbe(boost::asio::io_context& context, Duration timeout,
                   std::shared_ptr<const net::TlsClientContext> tls)
    : context_(context), timeout_(timeout), tls_(std::move(tls)) {}

// The coroutine knows nothing of this object, which may go first.
boost::asio::awaitable<ProbeResult> TlsProbe::check(ProbeTarget target, TimePoint deadline) {
    return run(context_, timeout_, tls_, std::move(target), deadline);
}

}  // namespace penstock::health
