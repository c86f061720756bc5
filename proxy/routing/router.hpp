#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/role.hpp"
#include "config/config.hpp"
#include "proxy/routing/destination.hpp"
#include "proxy/routing/route_table.hpp"

namespace penstock::proxy {

/// What becomes of a client: where it goes, and whether its TLS ends here.
struct Choice {
    UpstreamContext* upstream = nullptr;  // null = no route
    Role role = Role::none;
    bool terminates = false;
    std::string_view name{};  // of `[listener.sni]`, if that decided; lives as long as the settings
    std::uint32_t number = 0;  // of the route, from 1; 0 = none
};

/// Sends the clients of a listener to upstreams. One per worker and state of the settings.
class Router {
public:
    using Upstream = Destination::Upstream;
    using Named = std::function<Upstream(const std::string&)>;

    /// `listener` and `table` must outlive it. `named` finds upstreams by name; null = not there.
    Router(const config::Listener& listener, const RouteTable& table, const Named& named,
           std::uint64_t hash_seed, Random& random);

    [[nodiscard]] Choice choose(const Arrival& arrival) noexcept;
    /// For clients of which nothing is known but the address.
    [[nodiscard]] UpstreamContext* choose(const CompactEndpoint& client) noexcept {
        return choose(Arrival{.client = client}).upstream;
    }
    /// From now on the listener's own split has these weights, in its order.
    void set_split(const std::vector<std::uint32_t>& weights, const Named& named,
                   std::uint64_t hash_seed, Random& random);

private:
    const config::Listener& listener_;
    const RouteTable& table_;
    Destination own_;
    std::vector<Destination> routes_;
    std::vector<Upstream> names_;  // of `listener.sni`
};

}  // namespace penstock::proxy
