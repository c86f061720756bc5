#include "health/probe/make_probe.hpp"

#include <utility>

#include "health/probe/exchange_probe.hpp"
#include "health/probe/http_probe.hpp"
#include "health/probe/tcp_probe.hpp"
#include "health/probe/tls_probe.hpp"
#ifdef PENSTOCK_PROBE_MYSQL
#include "health/probe/mysql_probe.hpp"
#endif
#ifdef PENSTOCK_PROBE_POSTGRES
#include "health/probe/postgres_probe.hpp"
#endif
#ifdef PENSTOCK_PROBE_REDIS
#include "health/probe/redis_probe.hpp"
#endif

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
#ifdef PENSTOCK_PROBE_REDIS
        case config::CheckType::redis:
            return std::make_unique<RedisProbe>(context, check, std::move(password));
#endif
#ifdef PENSTOCK_PROBE_POSTGRES
        case config::CheckType::postgres:
            return std::make_unique<PostgresProbe>(context, check, std::move(password));
#endif
#ifdef PENSTOCK_PROBE_MYSQL
        case config::CheckType::mysql:
            return std::make_unique<MysqlProbe>(context, check, std::move(password));
#endif
        default: std::unreachable();  // is_built() says so
    }
}

bool is_built(config::CheckType type) noexcept {
    switch (type) {
#ifndef PENSTOCK_PROBE_REDIS
        case config::CheckType::redis: return false;
#endif
#ifndef PENSTOCK_PROBE_POSTGRES
        case config::CheckType::postgres: return false;
#endif
#ifndef PENSTOCK_PROBE_MYSQL
        case config::CheckType::mysql: return false;
#endif
        default: return true;
    }
}

}  // namespace penstock::health
