#include "health/probe/tls_probe.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>

#include "health/probe/connection.hpp"

namespace penstock::health {

namespace asio = boost::asio;

asio::awaitable<ProbeResult> TlsProbe::check(ProbeTarget target, TimePoint deadline) {
    ProbeConnection connection(context_, deadline);
    auto connecting = connection.connect(target.address);
    const auto error = co_await std::move(connecting);
    if (error) co_return connection.failure(error);
    connection.enter("shaking hands over TLS");
    const auto stream = tls_.stream(connection.socket(), target.host);
    const auto [refused] = co_await stream->async_handshake(asio::ssl::stream_base::client,
                                                            asio::as_tuple(asio::deferred));
    if (refused) co_return connection.failure(refused);
    co_return ProbeResult{.ok = true, .role = Role::none, .detail = {}};
}

}  // namespace penstock::health
