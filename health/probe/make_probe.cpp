#include "health/probe/make_probe.hpp"

#include <stdexcept>
#include <utility>

#include "config/to_backends.hpp"
#include "health/probe/connection.hpp"
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

// `secure`: inside TLS; what kind of it follows from the settings.
Opening opening_of(const config::Upstream& upstream, const CheckInputs& inputs, bool secure) {
    Opening opening{.header = check_header(upstream)};
    if (!secure) return opening;
    if (!config::checks_verify(upstream)) {
        opening.any_server = std::make_shared<const net::tls::UnverifiedContext>();
        return opening;
    }
    // Rather none than one that believes anybody.
    if (!inputs.tls)
        throw std::runtime_error("upstream " + upstream.name + ": no TLS context for its checks");
    opening.tls = inputs.tls;
    return opening;
}

}  // namespace

std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                  const config::Upstream& upstream, CheckInputs inputs) {
    const config::HealthCheck& check = upstream.health_check;
    const auto opening = [&](bool secure) { return opening_of(upstream, inputs, secure); };
    const bool secure = config::checks_speak_tls(upstream);
    switch (check.type) {
        case config::CheckType::none: return nullptr;
        case config::CheckType::tcp:
            return std::make_unique<TcpProbe>(context, check.timeout, check_header(upstream));
        case config::CheckType::tls:
            return std::make_unique<TlsProbe>(context, check.timeout, opening(true));
        case config::CheckType::http:
            return std::make_unique<HttpProbe>(context, check.timeout, check.http, opening(secure));
        case config::CheckType::exchange:
            return std::make_unique<ExchangeProbe>(context, check.timeout, check.exchange,
                                                   opening(secure));
#ifdef PENSTOCK_PROBE_REDIS
        case config::CheckType::redis:
            return std::make_unique<RedisProbe>(context, check, std::move(inputs.password),
                                                opening(secure));
#endif
#ifdef PENSTOCK_PROBE_POSTGRES
        case config::CheckType::postgres:
            return std::make_unique<PostgresProbe>(context, upstream, std::move(inputs.password));
#endif
#ifdef PENSTOCK_PROBE_MYSQL
        case config::CheckType::mysql:
            return std::make_unique<MysqlProbe>(context, check, std::move(inputs.password));
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
