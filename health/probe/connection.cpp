#include "health/probe/connection.hpp"

#include <utility>

#include <boost/asio/ip/address.hpp>

namespace penstock::health {

std::string server_name_of(std::string_view host) {
    if (host.ends_with('.')) host.remove_suffix(1);
    const std::string name(host);
    boost::system::error_code error;
    boost::asio::ip::make_address(name, error);
    return error ? name : std::string();
}

boost::asio::awaitable<bool> open(Stream& stream, Endpoint to,
                                  std::shared_ptr<const net::TlsClientContext> tls,
                                  std::string server_name) {
    auto connecting = stream.connect(std::move(to));
    if (!co_await std::move(connecting)) co_return false;
    if (!tls) co_return true;
    auto securing = stream.start_tls(std::move(tls), std::move(server_name));
    const bool secured = co_await std::move(securing);
    co_return secured;
}

}  // namespace penstock::health
