#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// All addresses that the configuration listens on.
class BoundAddresses {
public:
    struct Bound {
        Endpoint endpoint;
        std::string by;  // "listener 'web'"
        Region where;
    };

    /// The address that stops `endpoint` from being bound too, or null: the same one, or all
    /// addresses and one of them with the same port.
    [[nodiscard]] const Bound* conflict(const Endpoint& endpoint) const {
        if (const auto* same = find(endpoint)) return same;
        if (endpoint.is_unix()) return nullptr;
        const auto& index = endpoint.is_any_address() ? first_of_port_ : any_of_port_;
        const auto found = index.find({endpoint.family(), endpoint.port()});
        return found == index.end() ? nullptr : &found->second;
    }

    /// Who uses this inherited socket already, or null.
    [[nodiscard]] const Bound* inherited(const std::string& socket) const {
        const auto found = inherited_.find(socket);
        return found == inherited_.end() ? nullptr : &found->second;
    }
    void add_inherited(std::string socket, Bound bound) {
        inherited_.emplace(std::move(socket), std::move(bound));
    }

    /// The address that a connection to `endpoint` from this machine would reach, or null.
    [[nodiscard]] const Bound* reached_by(const Endpoint& endpoint) const {
        if (const auto* same = find(endpoint)) return same;
        if (!endpoint.is_loopback()) return nullptr;
        const auto found = any_of_port_.find({endpoint.family(), endpoint.port()});
        return found == any_of_port_.end() ? nullptr : &found->second;
    }

    void add(Bound bound) {
        if (!bound.endpoint.is_unix()) {
            const std::pair key{bound.endpoint.family(), bound.endpoint.port()};
            first_of_port_.emplace(key, bound);
            if (bound.endpoint.is_any_address()) any_of_port_.emplace(key, bound);
        }
        exact_.emplace(bound.endpoint, std::move(bound));
    }

private:
    using PortIndex = std::map<std::pair<int, std::uint16_t>, Bound>;

    [[nodiscard]] const Bound* find(const Endpoint& endpoint) const {
        const auto found = exact_.find(endpoint);
        return found == exact_.end() ? nullptr : &found->second;
    }

    std::map<Endpoint, Bound> exact_;
    PortIndex first_of_port_;
    PortIndex any_of_port_;
    std::map<std::string, Bound> inherited_;
};

void check_bind(const Check& check, BoundAddresses& bound, std::string by, const Endpoint& endpoint,
                Region where) {
    if (!endpoint.is_unix() && endpoint.port() == 0) return;  // any free port
    const auto* other = bound.conflict(endpoint);
    if (other == nullptr) return bound.add({endpoint, std::move(by), where});
    const auto text = format_endpoint(endpoint);
    const bool same = other->endpoint == endpoint;
    check.reporter.error(where,
                         same
                             ? fmt::format("the address {} is bound twice", text)
                             : fmt::format("the addresses {} and {} overlap: only one can be bound",
                                           text, format_endpoint(other->endpoint)),
                         other->where, fmt::format("by {} here", other->by));
}

void check_inherited(const Check& check, BoundAddresses& bound, std::string by, const Bind& bind,
                     Region where) {
    auto text = bind.to_string();
    if (const auto* other = bound.inherited(text))
        check.reporter.error(where, fmt::format("the inherited socket {} is used twice", text),
                             other->where, fmt::format("by {} here", other->by));
    else
        bound.add_inherited(std::move(text), {{}, std::move(by), where});
}

void check_loop(const Check& check, const BoundAddresses& bound, const Backend& backend,
                Region where) {
    if (backend.address == Endpoint{}) return;
    if (const auto* own = bound.reached_by(backend.address))
        check.reporter.error(
            where,
            fmt::format("backend {} is this proxy itself: connections would go round in a circle",
                        format_endpoint(backend.address)),
            own->where, fmt::format("{} listens there", own->by));
}

}  // namespace

void check_addresses(const Check& check) {
    BoundAddresses bound;
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        for (std::size_t j = 0; j < listener.bind.size(); ++j) {
            const auto& bind = listener.bind[j];
            const auto where = check.origins.of(listener_path(i), fmt::format("bind[{}]", j));
            auto by = fmt::format("listener '{}'", listener.name);
            if (bind.inherited())
                check_inherited(check, bound, std::move(by), bind, where);
            else
                check_bind(check, bound, std::move(by), bind.address, where);
        }
    }
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) {
        const auto& backends = check.config.upstreams[i].backends;
        for (std::size_t j = 0; j < backends.size(); ++j)
            check_loop(check, bound, backends[j], check.origins.of(backend_path(i, j), "address"));
    }
    // After the loops: who makes the admin API a backend gets no circle.
    for (std::size_t i = 0; i < check.config.admin.listeners.size(); ++i) {
        const auto& bind = check.config.admin.listeners[i].bind;
        for (std::size_t j = 0; j < bind.size(); ++j)
            check_bind(check, bound, "the admin API", bind[j],
                       check.origins.of(admin_listener_path(i), fmt::format("bind[{}]", j)));
    }
}

}  // namespace penstock::config
