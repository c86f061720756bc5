#include "config/check.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "config/suggest.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

std::string listener_path(std::size_t i) { return fmt::format("listener[{}]", i); }
std::string upstream_path(std::size_t i) { return fmt::format("upstream[{}]", i); }
std::string backend_path(std::size_t i, std::size_t j) {
    return fmt::format("upstream[{}].backend[{}]", i, j);
}

/// Reports the second and later uses of a name.
class UniqueNames {
public:
    UniqueNames(std::string what, Reporter& reporter)
        : what_(std::move(what)), reporter_(reporter) {}

    void add(const std::string& name, Region where) {
        if (name.empty()) return;
        const auto [first, is_new] = seen_.emplace(name, where);
        if (!is_new)
            reporter_.error(where, fmt::format("a second {} with the name '{}'", what_, name),
                            first->second, "the first one");
    }

private:
    std::string what_;
    Reporter& reporter_;
    std::unordered_map<std::string, Region> seen_;
};

/// All addresses that the configuration listens on.
class BoundAddresses {
public:
    struct Bound {
        Endpoint endpoint;
        const Listener* listener;
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
};

class Checker {
public:
    Checker(const Config& config, const Origins& origins, Reporter& reporter)
        : config_(config), origins_(origins), reporter_(reporter) {}

    void run() {
        check_listeners();
        check_references();
        for (std::size_t i = 0; i < config_.upstreams.size(); ++i) check_upstream(i);
        check_access_log();
    }

private:
    void check_listeners() {
        UniqueNames names("listener", reporter_);
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            const auto& listener = config_.listeners[i];
            names.add(listener.name, origins_.of(listener_path(i), "name"));
            for (std::size_t j = 0; j < listener.bind.size(); ++j)
                check_bind(listener, listener.bind[j],
                           origins_.of(listener_path(i), fmt::format("bind[{}]", j)));
        }
        if (config_.listeners.empty())
            reporter_.error({0, 1, 1, 1},
                            "there is no [[listener]], so nothing to do; a first configuration has "
                            "a [[listener]] (name, bind, upstream) and an [[upstream]] (name, "
                            "backend)");
    }

    void check_bind(const Listener& listener, const Endpoint& endpoint, Region where) {
        if (!endpoint.is_unix() && endpoint.port() == 0) return;  // any free port
        if (const auto* other = bound_.conflict(endpoint)) {
            const auto text = format_endpoint(endpoint);
            const bool same = other->endpoint == endpoint;
            reporter_.error(where,
                            same ? fmt::format("the address {} is bound twice", text)
                                 : fmt::format("the addresses {} and {} overlap: only one can be "
                                               "bound",
                                               text, format_endpoint(other->endpoint)),
                            other->where,
                            fmt::format("by listener '{}' here", other->listener->name));
            return;
        }
        bound_.add({endpoint, &listener, where});
    }

    void check_references() {
        std::vector<std::string_view> names;
        std::unordered_set<std::string_view> known;
        bool complete = true;
        for (const auto& upstream : config_.upstreams) {
            names.push_back(upstream.name);
            known.insert(upstream.name);
            complete = complete && !upstream.name.empty();
        }
        std::unordered_set<std::string_view> used;
        for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
            const auto& listener = config_.listeners[i];
            used.insert(listener.upstream);
            const auto where = place(listener_path(i), "defaults.listener", "upstream");
            if (listener.upstream.empty() && !listener.name.empty())
                reporter_.warning(where, fmt::format("listener '{}' has no upstream: it refuses "
                                                     "every connection",
                                                     listener.name));
            else if (!listener.upstream.empty() && complete && !known.contains(listener.upstream))
                reporter_.error(where, unknown_upstream(listener.upstream, names));
        }
        for (std::size_t i = 0; i < config_.upstreams.size(); ++i)
            if (const auto& name = config_.upstreams[i].name; !name.empty() && !used.contains(name))
                reporter_.warning(origins_.of(upstream_path(i), "name"),
                                  fmt::format("no listener uses upstream '{}'", name));
    }

    static std::string unknown_upstream(const std::string& name,
                                        const std::vector<std::string_view>& names) {
        auto message = fmt::format("there is no upstream {}", quote(name));
        if (names.empty()) return message + "; add an [[upstream]] with this name";
        if (const auto near = nearest(name, names))
            message += fmt::format("; did you mean '{}'?", *near);
        constexpr std::size_t most_listed = 10;
        message += " There are: ";
        for (std::size_t i = 0; i < names.size() && i < most_listed; ++i)
            message += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i]);
        if (names.size() > most_listed)
            message += fmt::format(" and {} more", names.size() - most_listed);
        return message;
    }

    void check_upstream(std::size_t i) {
        const auto& upstream = config_.upstreams[i];
        upstream_names_.add(upstream.name, origins_.of(upstream_path(i), "name"));
        if (upstream.retry_backoff.base > upstream.retry_backoff.max)
            reporter_.error(
                place(upstream_path(i), "defaults.upstream", "retry_backoff"),
                fmt::format("upstream '{}': the base {} of retry_backoff is above its max {}",
                            upstream.name, format_duration(upstream.retry_backoff.base),
                            format_duration(upstream.retry_backoff.max)));
        if (upstream.backends.empty()) {
            reporter_.error(origins_.of(upstream_path(i), "backend"),
                            fmt::format("upstream '{}' has no backends; add [[upstream.backend]] "
                                        "tables or backend = [\"10.0.0.1:80\"]",
                                        upstream.name));
            return;
        }
        UniqueNames names(fmt::format("backend of upstream '{}'", upstream.name), reporter_);
        for (std::size_t j = 0; j < upstream.backends.size(); ++j) {
            const auto& backend = upstream.backends[j];
            const auto path = backend_path(i, j);
            names.add(backend.name, origins_.find(path + ".name") != nullptr
                                        ? origins_.of(path, "name")
                                        : origins_.of(path, "address"));
            check_loop(backend, origins_.of(path, "address"));
        }
        check_usable(upstream, origins_.of(upstream_path(i), "backend"));
    }

    void check_loop(const Backend& backend, Region where) {
        if (backend.address == Endpoint{}) return;
        if (const auto* own = bound_.reached_by(backend.address))
            reporter_.error(where,
                            fmt::format("backend {} is this proxy itself: connections would go "
                                        "round in a circle",
                                        format_endpoint(backend.address)),
                            own->where,
                            fmt::format("listener '{}' listens there", own->listener->name));
    }

    void check_usable(const Upstream& upstream, Region where) {
        const auto none = [&](auto predicate) {
            return std::ranges::none_of(upstream.backends, predicate);
        };
        if (none([](const Backend& b) { return b.weight > 0; }))
            reporter_.warning(where, fmt::format("upstream '{}': every backend has weight 0, so "
                                                 "none gets connections",
                                                 upstream.name));
        else if (none([](const Backend& b) { return b.state == BackendState::ready; }))
            reporter_.warning(where, fmt::format("upstream '{}': no backend is in state \"ready\", "
                                                 "so none gets connections",
                                                 upstream.name));
        else if (none([](const Backend& b) {
                     return b.weight > 0 && b.state == BackendState::ready;
                 }))
            reporter_.warning(where, fmt::format("upstream '{}': no backend is both ready and of a "
                                                 "weight above 0, so none gets connections",
                                                 upstream.name));
    }

    void check_access_log() {
        const auto& log = config_.access_log;
        if (log.target != "off" && !log.on_open && !log.on_close)
            reporter_.error(origins_.of("access_log", "events"),
                            "'events' in [access_log] is empty: nothing would be written; to "
                            "switch the log off, write target = \"off\"");
    }

    /// Where `key` was given: in the table itself, else in the defaults, else the table.
    Region place(const std::string& table, const std::string& defaults,
                 std::string_view key) const {
        if (origins_.find(fmt::format("{}.{}", table, key)) == nullptr)
            if (const auto* where = origins_.find(fmt::format("{}.{}", defaults, key)))
                return *where;
        return origins_.of(table, key);
    }

    const Config& config_;
    const Origins& origins_;
    Reporter& reporter_;
    BoundAddresses bound_;
    UniqueNames upstream_names_{"upstream", reporter_};
};

}  // namespace

void check_config(const Config& config, const Origins& origins, Reporter& reporter) {
    Checker(config, origins, reporter).run();
}

}  // namespace penstock::config
