#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/limits/peer_set.hpp"
#include "base/endpoint.hpp"
#include "config/config.hpp"

namespace penstock::proxy {

/// What is known of a client when it is sent somewhere.
struct Arrival {
    const CompactEndpoint& client;
    std::string_view server_name{};         // "" = it gave none, or does not speak TLS
    std::span<const std::string> alpn{};    // what it offers
    config::StartTls starttls = config::StartTls::none;  // how it asked for TLS
    bool not_tls = false;      // it speaks something else, as is known
    bool plain_start = false;  // of a protocol that could have asked for TLS: no route is for it
};

/// Server names, exact or with one leading `*.`, each with a number. An exact one comes first, then
/// the longest pattern; `*.a.example` covers names with any number of labels before `a.example`.
class NameTable {
public:
    void add(std::string_view name, std::uint32_t value);
    /// Never allocates; a handful of look-ups.
    [[nodiscard]] std::optional<std::uint32_t> find(std::string_view server_name) const noexcept;
    [[nodiscard]] bool empty() const noexcept { return exact_.empty() && suffixes_.empty(); }

private:
    struct Hash {
        using is_transparent = void;
        [[nodiscard]] std::size_t operator()(std::string_view text) const noexcept;
    };
    using Map = std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>>;
    Map exact_;
    Map suffixes_;  // by what follows the star
};

/// `[listener.sni]` and `[[listener.route]]` of one listener: who goes where. Immutable, shared by
/// the workers. Pure.
class RouteTable {
public:
    explicit RouteTable(const config::Listener& listener);

    struct Match {
        enum class Kind : std::uint8_t { own, name, route };
        Kind kind = Kind::own;  // own: what the listener itself says
        std::uint32_t index = 0;  // of `listener.sni` or `listener.routes`
    };
    [[nodiscard]] Match find(const Arrival& arrival) const noexcept;

    /// Only a ClientHello can tell.
    [[nodiscard]] bool needs_hello() const noexcept { return needs_hello_; }
    /// Some clients ask for TLS in the words of PostgreSQL first.
    [[nodiscard]] bool has_starttls() const noexcept { return has_starttls_; }

private:
    struct Rule {
        bool any_name = true;
        bool no_name = false;
        NameTable names;
        std::vector<std::string> alpn;
        balancer::PeerSet source;  // empty = everybody
        config::StartTls starttls;
        bool needs_tls = false;
    };
    [[nodiscard]] static bool matches(const Rule& rule, const Arrival& arrival) noexcept;

    NameTable names_;
    std::vector<Rule> rules_;
    bool needs_hello_ = false;
    bool has_starttls_ = false;
};

}  // namespace penstock::proxy
