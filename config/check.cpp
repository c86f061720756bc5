#include "config/check.hpp"

#include "config/check_parts.hpp"

namespace penstock::config {

namespace {

void check_access_log(const Check& check) {
    const auto& log = check.config.access_log;
    if (log.target != "off" && !log.on_open && !log.on_close)
        check.reporter.error(check.origins.of("access_log", "events"),
                             "'events' in [access_log] is empty: nothing would be written; to "
                             "switch the log off, write target = \"off\"");
}

}  // namespace

void check_config(const Config& config, const Origins& origins, Reporter& reporter) {
    const Check check{config, origins, reporter};
    if (config.listeners.empty())
        reporter.error({0, 1, 1, 1},
                       "there is no [[listener]], so nothing to do; a first configuration has a "
                       "[[listener]] (name, bind, upstream) and an [[upstream]] (name, backend)");
    check_names(check);
    check_references(check);
    check_routes(check);
    check_tls(check);
    check_proxy_protocol(check);
    check_addresses(check);
    check_limits(check);
    check_upstreams(check);
    check_health(check);
    check_access_log(check);
    check_admin(check);
}

}  // namespace penstock::config
