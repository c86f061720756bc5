#include <cstddef>
#include <string>

#include <fmt/format.h>

#include "config/check_parts.hpp"

namespace penstock::config {

namespace {

void check_listener(const Check& check, std::size_t i) {
    const auto& listener = check.config.listeners[i];
    const auto table = listener_path(i);
    if (listener.proxy_protocol != ProxyProtocol::off) {
        if (listener.proxy_protocol_from.empty())
            check.reporter.error(
                place(check, table, "proxy_protocol"),
                fmt::format("listener '{}' expects PROXY headers and believes nobody's; name the "
                            "proxies: proxy_protocol_from = [\"10.0.0.1\"]",
                            listener.name));
        return;
    }
    if (!listener.proxy_protocol_from.empty() && is_own(check, table, "proxy_protocol_from"))
        check.reporter.warning(place(check, table, "proxy_protocol_from"),
                               "'proxy_protocol_from' has no effect with proxy_protocol = \"off\"");
    if (listener.proxy_protocol_untrusted != ProxyProtocolUntrusted::refuse &&
        is_own(check, table, "proxy_protocol_untrusted"))
        check.reporter.warning(
            place(check, table, "proxy_protocol_untrusted"),
            "'proxy_protocol_untrusted' has no effect with proxy_protocol = \"off\"");
}

void check_upstream(const Check& check, std::size_t i) {
    const auto& upstream = check.config.upstreams[i];
    const auto table = upstream_path(i);
    if (upstream.send_proxy_protocol_tlvs != ProxyTlvs{} &&
        upstream.send_proxy_protocol != SendProxyProtocol::v2)
        check.reporter.error(
            place(check, table, "send_proxy_protocol_tlvs"),
            fmt::format("upstream '{}': only headers of version 2 can say this; write "
                        "send_proxy_protocol = \"v2\"",
                        upstream.name));
    if (upstream.send_proxy_protocol != SendProxyProtocol::off && upstream.tls &&
        upstream.pool.min_idle > 0)
        check.reporter.error(
            place(check, table, "pool"),
            fmt::format("upstream '{}': warm connections have their TLS handshake done, and the "
                        "PROXY header, which names a client, would have to precede it; do without "
                        "the pool (min_idle = 0) or without send_proxy_protocol",
                        upstream.name),
            place(check, table, "send_proxy_protocol"), "'send_proxy_protocol' is here");
}

}  // namespace

void check_proxy_protocol(const Check& check) {
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) check_listener(check, i);
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) check_upstream(check, i);
}

}  // namespace penstock::config
