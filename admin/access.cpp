#include "admin/access.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/prefix.hpp"

namespace penstock::admin {

namespace {

constexpr std::string_view scheme = "Bearer ";

bool same_ignoring_case(std::string_view one, std::string_view other) noexcept {
    return std::ranges::equal(one, other, [](unsigned char a, unsigned char b) {
        return std::tolower(a) == std::tolower(b);
    });
}

// `[::1]:9901` -> `::1`, `host:9901` -> `host`.
std::string_view without_port(std::string_view host) noexcept {
    if (host.starts_with('[')) return host.substr(1, std::min(host.find(']'), host.size()) - 1);
    return host.substr(0, host.find(':'));
}

std::string address_of(const CompactEndpoint& endpoint) {
    const std::string text = endpoint.to_string();
    return std::string(without_port(text));
}

bool is_loopback(const CompactEndpoint& endpoint) {
    if (endpoint.is_ipv4()) return endpoint.bytes()[0] == 127;
    return endpoint.is_ipv6() && address_of(endpoint) == "::1";
}

std::string file_name(std::string_view path) {
    return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

bool equal_in_constant_time(std::string_view one, std::string_view other) noexcept {
    // The length of a token is no secret; its content is.
    if (one.size() != other.size()) return false;
    unsigned difference = 0;
    for (std::size_t i = 0; i < one.size(); ++i)
        difference |= static_cast<unsigned char>(one[i]) ^ static_cast<unsigned char>(other[i]);
    return difference == 0;
}

AccessRules::AccessRules(const config::AdminListener& listener,
                         std::vector<std::string> allowed_hosts, std::string token)
    : access_(listener.access),
      allow_(listener.allow),
      allowed_hosts_(std::move(allowed_hosts)),
      token_(std::move(token)),
      token_name_(file_name(listener.token_file)) {}

bool AccessRules::admits(const Caller& caller) const noexcept {
    if (caller.over_unix || allow_.empty() || allow_.all) return true;
    const auto address = Prefix::mapped(caller.peer);
    return std::ranges::any_of(allow_.prefixes,
                               [&](const Prefix& prefix) { return prefix.contains(address); });
}

std::optional<Denial> AccessRules::judge(const Caller& caller, const Credentials& credentials,
                                         Need need) const {
    if (need == Need::metrics) return std::nullopt;
    if (access_ == config::AdminAccess::metrics)
        return Denial{403, "this listener serves /metrics, /livez and /readyz only"};
    if (!caller.over_unix) {
        if (!knows_host(caller, credentials.host))
            return Denial{421,
                          "the Host is none that this listener answers to; add it to "
                          "allowed_hosts in [admin] if it is yours"};
        if (needs_token(caller, need) && !has_token(credentials))
            return Denial{401, credentials.authorization.empty()
                                   ? "this needs a token: send Authorization: Bearer TOKEN"
                                   : "the token is not the one of this listener"};
    }
    if (need != Need::change) return std::nullopt;
    if (access_ != config::AdminAccess::full)
        return Denial{403,
                      "this listener changes nothing (access = \"read\"); use one with "
                      "access = \"full\""};
    // A page of another origin has no business here, whatever it has got hold of.
    if (!caller.over_unix && !credentials.origin.empty()) {
        const auto scheme_end = credentials.origin.find("://");
        if (scheme_end == std::string_view::npos ||
            !same_ignoring_case(credentials.origin.substr(scheme_end + 3), credentials.host))
            return Denial{403, "the request comes from a page of another origin"};
    }
    return std::nullopt;
}

bool AccessRules::needs_token(const Caller& caller, Need need) const noexcept {
    if (need == Need::page) return false;
    if (access_ == config::AdminAccess::full) return true;
    return !token_.empty() || !is_loopback(caller.local);
}

bool AccessRules::has_token(const Credentials& credentials) const noexcept {
    const auto& header = credentials.authorization;
    if (token_.empty() || header.size() < scheme.size() ||
        !same_ignoring_case(header.substr(0, scheme.size()), scheme))
        return false;
    return equal_in_constant_time(header.substr(scheme.size()), token_);
}

bool AccessRules::knows_host(const Caller& caller, std::string_view host) const {
    const std::string_view name = without_port(host);
    if (same_ignoring_case(name, "localhost") || name == address_of(caller.local)) return true;
    return std::ranges::any_of(allowed_hosts_, [&](const std::string& allowed) {
        return same_ignoring_case(without_port(allowed), name);
    });
}

std::string AccessRules::actor(const Caller& caller, const Credentials& credentials) const {
    if (caller.over_unix) return caller.uid;
    if (has_token(credentials)) return "token " + token_name_;
    return address_of(caller.peer);
}

}  // namespace penstock::admin
