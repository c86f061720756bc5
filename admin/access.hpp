#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "config/admin.hpp"

namespace penstock::admin {

/// What a request asks for, as far as access goes.
enum class Need : std::uint8_t {
    metrics,  // /metrics, /livez, /readyz
    page,     // the dashboard itself, which holds no figures and asks for the token
    read,
    change,
};

/// Who sent a request, and where it arrived.
struct Caller {
    bool over_unix = false;
    CompactEndpoint peer{};   // over TCP
    CompactEndpoint local{};  // the address that it connected to
    std::string uid{};        // over unix: `uid 1000`
};

/// What of a request's header is about access.
struct Credentials {
    std::string_view host{};
    std::string_view origin{};         // "" = none was sent
    std::string_view authorization{};  // "" = none was sent
};

struct Denial {
    unsigned status;  // 401, 403 or 421
    std::string error;
};

/// Decides who may do what on one listener of the API. Pure.
class AccessRules {
public:
    /// `token`: what the listener's token_file holds; "" = none.
    AccessRules(const config::AdminListener& listener, std::vector<std::string> allowed_hosts,
                std::string token);

    /// Nothing = it may go on.
    [[nodiscard]] std::optional<Denial> judge(const Caller& caller, const Credentials& credentials,
                                              Need need) const;
    /// The address may talk to this listener at all.
    [[nodiscard]] bool admits(const Caller& caller) const noexcept;
    /// For the record: `uid 1000`, `token operator.token`, `127.0.0.1`.
    [[nodiscard]] std::string actor(const Caller& caller, const Credentials& credentials) const;

    void set_token(std::string token) { token_ = std::move(token); }

private:
    [[nodiscard]] bool needs_token(const Caller& caller, Need need) const noexcept;
    [[nodiscard]] bool knows_host(const Caller& caller, std::string_view host) const;
    [[nodiscard]] bool has_token(const Credentials& credentials) const noexcept;

    config::AdminAccess access_;
    PeerList allow_;
    std::vector<std::string> allowed_hosts_;
    std::string token_;
    std::string token_name_;
};

/// Takes the same time wherever two texts of one length differ.
[[nodiscard]] bool equal_in_constant_time(std::string_view one, std::string_view other) noexcept;

}  // namespace penstock::admin
