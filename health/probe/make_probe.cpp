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

// A type of check is one file beside this one, a word in config::CheckType and `type`, and a case
// in each of these two.

bool is_built(config::CheckType type) noexcept {
    switch (type) {
        case config::CheckType::none:
        case config::CheckType::tcp:
        case config::CheckType::tls:
        case config::CheckType::http:
        case config::CheckType::exchange: return true;
        case config::CheckType::redis:
#ifdef PENSTOCK_PROBE_REDIS
            return true;
#else
            return false;
#endif
        case config::CheckType::postgres:
#ifdef PENSTOCK_PROBE_POSTGRES
            return true;
#else
            return false;
#endif
        case config::CheckType::mysql:
#ifdef PENSTOCK_PROBE_MYSQL
            return true;
#else
            return false;
#endif
    }
    std::unreachable();
}

std::unique_ptr<Probe> make_probe(boost::asio::io_context& context,
                                  const config::Upstream& settings,
                                  [[maybe_unused]] const std::string& password) {
    const config::HealthCheck& check = settings.health_check;
    const bool over_tls = check.tls == config::CheckTls::on;
    switch (check.type) {
        case config::CheckType::tcp: return std::make_unique<TcpProbe>(context);
        case config::CheckType::tls: return std::make_unique<TlsProbe>(context);
        case config::CheckType::http:
            return std::make_unique<HttpProbe>(context, check.http, over_tls);
        case config::CheckType::exchange:
            return std::make_unique<ExchangeProbe>(context, check.exchange, over_tls);
#ifdef PENSTOCK_PROBE_REDIS
        case config::CheckType::redis:
            return std::make_unique<RedisProbe>(context, check, password);
#endif
#ifdef PENSTOCK_PROBE_POSTGRES
        case config::CheckType::postgres:
            return std::make_unique<PostgresProbe>(context, check, password);
#endif
#ifdef PENSTOCK_PROBE_MYSQL
        case config::CheckType::mysql:
            return std::make_unique<MysqlProbe>(context, check, password);
#endif
        default: std::unreachable();
    }
}

}  // namespace penstock::health
