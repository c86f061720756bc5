#include "health/probe/tls_probe.hpp"

#include <utility>

#include "health/probe/detail.hpp"

namespace penstock::health {

namespace {

boost::asio::awaitable<ProbeResult> run(boost::asio::io_context& context, Duration timeout,
                                        Opening how, ProbeTarget target, TimePoint deadline) {
    Stream stream(context, deadline, timeout);
    std::string name = server_name_of(target.host);
    auto opening = open(stream, std::move(target), std::move(how), std::move(name));
    if (!co_await std::move(opening)) co_return failure(stream.error());
    co_return success(stream.tls_protocol());
}

}  // namespace

TlsProbe::TlsProbe(boost::asio::io_context& context, Duration timeout, Opening opening)
    : context_(context), timeout_(timeout), opening_(std::move(opening)) {}

// The coroutine knows nothing of this object, which may go first.
boost::asio::awaitable<ProbeResult> TlsProbe::check(ProbeTarget target, TimePoint deadline) {
    return run(context_, timeout_, opening_, std::move(target), deadline);
}

}  // namespace penstock::health
