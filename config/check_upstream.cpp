#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// One upstream and its place.
struct Subject {
    const Check& check;
    const Upstream& upstream;
    std::size_t index;
    std::string table;

    void error(std::string_view key, std::string_view message) const {
        check.reporter.error(place(check, table, key),
                             fmt::format("upstream '{}': {}", upstream.name, message));
    }
    void warning(Region where, std::string_view message) const {
        check.reporter.warning(where, fmt::format("upstream '{}': {}", upstream.name, message));
    }
    /// A setting without effect; one from the defaults is for those upstreams where it has one.
    void idle(std::string_view key, std::string_view message) const {
        if (is_own(check, table, key)) warning(place(check, table, key), message);
    }
};

void check_backoff(const Subject& subject) {
    const auto& backoff = subject.upstream.retry_backoff;
    if (backoff.base > backoff.max)
        subject.error("retry_backoff",
                      fmt::format("the base {} of retry_backoff is above its max {}",
                                  format_duration(backoff.base), format_duration(backoff.max)));
}

void check_hashing(const Subject& subject) {
    const auto& upstream = subject.upstream;
    if (upstream.balance == Balance::maglev || upstream.balance == Balance::ring_hash) return;
    constexpr std::string_view hashing =
        "has no effect without balance = \"maglev\" or "
        "\"ring_hash\"";
    // The printed configuration gives every key; somebody who wants to hash and chose no policy is
    // told.
    const bool chosen = is_own(subject.check, subject.table, "balance");
    if (upstream.hash_key != HashKey::source_ip || !chosen)
        subject.idle("hash_key", fmt::format("'hash_key' {}", hashing));
    if (upstream.bounded_load != 0)
        subject.idle("bounded_load", fmt::format("'bounded_load' {}", hashing));
}

void check_hold(const Subject& subject) {
    const auto& upstream = subject.upstream;
    if (upstream.no_backend != NoBackend::hold && upstream.hold != Hold{})
        subject.idle("hold", "'hold' has no effect without no_backend = \"hold\"");
}

void check_pool(const Subject& subject) {
    const auto& pool = subject.upstream.pool;
    const auto& backends = subject.upstream.backends;
    if (pool.min_idle == 0) {
        if (pool.max_idle != 0)
            subject.idle("pool",
                         "the pool is off because its min_idle is 0, so its max_idle has "
                         "no effect");
        return;
    }
    if (pool.max_idle != 0 && pool.max_idle < pool.min_idle)
        subject.error("pool", fmt::format("the max_idle {} of the pool is below its min_idle {}",
                                          pool.max_idle, pool.min_idle));
    for (std::size_t j = 0; j < backends.size(); ++j) {
        const auto& backend = backends[j];
        if (backend.max_connections == 0 || pool.min_idle <= backend.max_connections) continue;
        subject.warning(
            subject.check.origins.of(backend_path(subject.index, j), "max_connections"),
            fmt::format("the pool is to keep {} connections to backend '{}', which takes only {}",
                        pool.min_idle, backend.name, backend.max_connections));
    }
}

void check_rebalance(const Subject& subject) {
    const auto& rebalance = subject.upstream.rebalance;
    if ((rebalance.on_added || rebalance.on_recovered) && rebalance.max_share == 0)
        subject.idle("rebalance", "the max_share of rebalance is 0, so no session ever moves");
    const Balance balance = subject.upstream.balance;
    const bool comes_back =
        balance == Balance::maglev || balance == Balance::ring_hash || balance == Balance::first;
    if ((rebalance.on_added || rebalance.on_recovered) && comes_back)
        subject.idle("rebalance",
                     "with this balance clients come back to the same backend, so rebalance moves "
                     "nobody");
}

/// A source address of a family that no backend has is never used.
void check_sources(const Subject& subject) {
    const auto& upstream = subject.upstream;
    for (std::size_t j = 0; j < upstream.source_address.size(); ++j) {
        const auto& source = upstream.source_address[j];
        const auto is_same_family = [&](const Backend& backend) {
            return backend.address == Endpoint{} ||  // reported, or a host name
                   backend.address.family() == source.family();
        };
        const auto key = fmt::format("source_address[{}]", j);
        if (std::ranges::none_of(upstream.backends, is_same_family))
            subject.idle(key, fmt::format("no backend has an {} address, so nothing is connected "
                                          "from {}",
                                          source.family() == AF_INET ? "IPv4" : "IPv6",
                                          format_local_address(source)));
    }
}

void check_usable(const Subject& subject) {
    const auto where = subject.check.origins.of(subject.table, "backend");
    const auto none = [&](auto predicate) {
        return std::ranges::none_of(subject.upstream.backends, predicate);
    };
    const auto has_weight = [](const Backend& b) { return b.weight > 0; };
    const auto is_ready = [](const Backend& b) { return b.state == BackendState::ready; };
    if (none(has_weight))
        subject.warning(where, "every backend has weight 0, so none gets connections");
    else if (none(is_ready))
        subject.warning(where, "no backend is in state \"ready\", so none gets connections");
    else if (none([&](const Backend& b) { return has_weight(b) && is_ready(b); }))
        subject.warning(where,
                        "no backend is both ready and of a weight above 0, so none gets "
                        "connections");
}

void check_backends(const Subject& subject) {
    if (!subject.upstream.discovery.empty()) return;
    if (!subject.upstream.backends.empty()) return check_usable(subject);
    subject.check.reporter.error(
        subject.check.origins.of(subject.table, "backend"),
        fmt::format("upstream '{}' has no backends; add [[upstream.backend]] tables, backend = "
                    "[\"10.0.0.1:80\"], or [[upstream.discovery]]",
                    subject.upstream.name));
}

}  // namespace

void check_upstreams(const Check& check) {
    for (std::size_t i = 0; i < check.config.upstreams.size(); ++i) {
        const Subject subject{check, check.config.upstreams[i], i, upstream_path(i)};
        check_backoff(subject);
        check_hashing(subject);
        check_hold(subject);
        check_pool(subject);
        check_rebalance(subject);
        if (!subject.upstream.backends.empty()) check_sources(subject);
        check_backends(subject);
    }
}

}  // namespace penstock::config
