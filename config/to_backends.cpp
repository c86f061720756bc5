#include "config/to_backends.hpp"

namespace penstock::config {

namespace {

std::string without_dot(std::string name) {
    if (name.ends_with('.')) name.pop_back();
    return name;
}

}  // namespace

std::string verify_name(const Upstream& upstream, const std::string& host,
                        const Endpoint& address) {
    if (upstream.tls && !upstream.tls->server_name.empty())
        return without_dot(upstream.tls->server_name);
    if (!host.empty()) return without_dot(host);
    if (address.is_unix()) return {};
    std::string text = address.to_string();
    text.erase(text.rfind(':'));
    if (text.starts_with('[')) text = text.substr(1, text.find_first_of("]%") - 1);
    return text;
}

bool checks_speak_tls(const Upstream& upstream) noexcept {
    switch (upstream.health_check.tls) {
        case CheckTls::on: return true;
        case CheckTls::off: return false;
        case CheckTls::inherit: break;
    }
    return upstream.tls.has_value();
}

bool checks_verify(const Upstream& upstream) noexcept {
    return upstream.tls.has_value() && upstream.health_check.tls != CheckTls::off;
}

bool wants_names(const Upstream& upstream) noexcept {
    const bool hashes =
        upstream.balance == Balance::maglev || upstream.balance == Balance::ring_hash;
    return (hashes && upstream.hash_key == HashKey::sni) ||
           upstream.send_proxy_protocol_tlvs.authority;
}

SendProxyProtocol header_of_checks(const Upstream& upstream) noexcept {
    const bool sends = upstream.health_check.send_proxy_protocol == CheckProxyProtocol::automatic;
    return sends ? upstream.send_proxy_protocol : SendProxyProtocol::off;
}

}  // namespace penstock::config
