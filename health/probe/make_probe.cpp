#include "health/probe/make_probe.hpp"

#include <stdexcept>
#include <utility>

#include "health/probe/exchange_probe.hpp"
#include "health/probe/http_probe.hpp"
#include "health/probe/tcp_probe.hpp"
#include "health/probe/tls_probe.hpp"

namespace penstock::health {

namespace {

// `inherit` is plain: connections to backends are.
std::shared_ptr<const net::TlsClientContext> tls_of(const config::HealthCheck& check) {
    if (check.tls != config::CheckTls::on) return nullptr;
    return std::make_shared<const net::TlsClientContext>();
}

}  // namespace

std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                  const config::Upstream& upstream,
                                  [[maybe_unused]] std::string password) {
    const config::HealthCheck& check = upstream.health_check;
    switch (check.type) {
        case config::CheckType::none: return nullptr;
        case config::CheckType::tcp: return std::make_unique<TcpProbe>(context, check.timeout);
        case config::CheckType::tls:
            return std::make_unique<TlsProbe>(context, check.timeout,
                                              std::make_shared<const net::TlsClientContext>());
        case config::CheckType::http:
            return std::make_unique<HttpProbe>(context, check.timeout, check.http, tls_of(check));
        case config::CheckType::exchange:
            return std::make_unique<ExchangeProbe>(context, check.timeout, check.exchange,
                                                   tls_of(check));
        // Those that log in, with `password`.
        case config::CheckType::redis:
        case config::CheckType::postgres:
        case config::CheckType::mysql: break;
    }
    throw std::runtime_error("this kind of check is not built in");
}

}  // namespace penstock::health
