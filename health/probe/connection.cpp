#include "health/probe/connection.hpp"

#include <utility>

#include <boost/asio/ip/address.hpp>

#include "config/to_backends.hpp"
#include "net/proxy_protocol/writer.hpp"

namespace penstock::health {

std::string check_header(const config::Upstream& upstream) {
    using net::proxy_protocol::Version;
    const net::proxy_protocol::Header itself{.local = true};
    switch (config::header_of_checks(upstream)) {
        case config::SendProxyProtocol::off: return {};
        case config::SendProxyProtocol::v1:
            return net::proxy_protocol::write(Version::v1, itself, false);
        case config::SendProxyProtocol::v2:
            return net::proxy_protocol::write(Version::v2, itself, false);
    }
    std::unreachable();
}

std::string server_name_of(std::string_view host) {
    if (host.ends_with('.')) host.remove_suffix(1);
    const std::string name(host);
    boost::system::error_code error;
    boost::asio::ip::make_address(name, error);
    return error ? name : std::string();
}

boost::asio::awaitable<bool> open(Stream& stream, ProbeTarget target, Opening how,
                                  std::string server_name) {
    auto connecting = stream.connect(std::move(target.address));
    if (!co_await std::move(connecting)) co_return false;
    if (!how.header.empty()) {
        auto sending = stream.write(how.header, "sending the PROXY header");
        if (!co_await std::move(sending)) co_return false;
    }
    if (how.tls) {
        auto verifying = stream.start_tls(std::move(how.tls), std::move(target.verify_name));
        const bool verified = co_await std::move(verifying);
        co_return verified;
    }
    if (!how.any_server) co_return true;
    auto securing = stream.start_tls_unverified(std::move(how.any_server), std::move(server_name));
    const bool secured = co_await std::move(securing);
    co_return secured;
}

}  // namespace penstock::health
