#include <algorithm>
#include <functional>
#include <utility>

#include "admin/metrics_parts.hpp"

namespace penstock::admin::metrics_parts {

namespace {

using Upstreams = std::vector<const UpstreamView*>;

using UpstreamSeries =
    std::function<void(Exposition& page, const UpstreamView& upstream, const Labels& labels)>;

void for_upstreams(Exposition& page, const Upstreams& upstreams, Type type, std::string_view name,
                   std::string_view help, const UpstreamSeries& add) {
    begin(page, type, name, help);
    for (const auto* upstream : upstreams) add(page, *upstream, {{"upstream", upstream->name}});
}

void add_gauges(Exposition& page, const Upstreams& upstreams) {
    const std::pair<std::pair<const char*, const char*>, std::uint64_t (*)(const UpstreamView&)>
        gauges[] = {
            {{"upstream_queue_length", "Clients that wait for a free slot."},
             [](const UpstreamView& u) { return u.queued; }},
            {{"upstream_queue_limit", "The most clients that may wait for a slot."},
             [](const UpstreamView& u) { return u.queue_limit; }},
            {{"upstream_held", "Clients that wait for a backend to become available."},
             [](const UpstreamView& u) { return u.held; }},
            {{"upstream_panic", "Whether failing backends are used because too few are well."},
             [](const UpstreamView& u) { return from_bool(u.panic); }},
            {{"upstream_backends_eligible", "Backends that may get a connection now."},
             [](const UpstreamView& u) { return u.eligible; }},
            {{"upstream_backends", "Backends."},
             [](const UpstreamView& u) { return std::uint64_t{u.backends.size()}; }},
            {{"upstream_role_conflict", "Whether two backends claim to be the primary."},
             [](const UpstreamView& u) { return from_bool(u.role_conflict); }},
        };
    for (const auto& [what, value] : gauges)
        for_upstreams(page, upstreams, Type::gauge, what.first, what.second,
                      [&](auto& p, const auto& u, const auto& labels) { p.add(labels, value(u)); });
    for_upstreams(page, upstreams, Type::gauge, "upstream_hash_checksum",
                  "Equal on two instances that hash alike; 0 = the policy has no table.",
                  [](auto& p, const auto& u, const auto& labels) {
                      // As many bits as a double shows exactly.
                      p.add(labels, u.hash_checksum & ((std::uint64_t{1} << 53) - 1));
                  });
}

void add_counts(Exposition& page, const Upstreams& upstreams) {
    for_upstreams(page, upstreams, Type::histogram, "upstream_queue_seconds",
                  "How long clients waited for a slot or a backend.",
                  [](auto& p, const auto& u, const auto& labels) {
                      p.add(labels, u.totals.waited, metrics::wait_bounds_us);
                  });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_retries_total",
        "Attempts after the first one of a session.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.retries); });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_retry_budget_exhausted_total",
        "Attempts that were not made because the budget of retries was used up.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.retries_denied); });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_panic_picks_total",
        "Connections that were given to a failing backend because of panic.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.panic_picks); });
}

void add_sources(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::counter, "dns_queries_total", "Look-ups of an upstream's names.");
    for (const auto* upstream : upstreams) {
        std::uint64_t ok = 0;
        std::uint64_t failed = 0;
        for (const auto& source : upstream->sources)
            if (source.is_dns) {
                ok += source.answers;
                failed += source.failures;
            }
        if (!upstream->looks_up()) continue;
        page.add({{"upstream", upstream->name}, {"result", "ok"}}, ok);
        page.add({{"upstream", upstream->name}, {"result", "failed"}}, failed);
    }
    begin(page, Type::gauge, "dns_last_success_timestamp_seconds",
          "When a name server last gave a good answer, since the epoch; of several names, the "
          "one that has waited longest. 0 = not yet.");
    for (const auto* upstream : upstreams) {
        if (!upstream->looks_up()) continue;
        double oldest = -1;
        for (const auto& source : upstream->sources) {
            if (!source.is_dns) continue;
            const double at = source.last_success ? epoch_seconds(*source.last_success) : 0;
            oldest = oldest < 0 ? at : std::min(oldest, at);
        }
        page.add({{"upstream", upstream->name}}, std::max(oldest, 0.0));
    }
}

}  // namespace

void add_upstreams(Exposition& page, const Overview& overview) {
    const auto upstreams = list(overview.upstreams);
    add_gauges(page, upstreams);
    add_counts(page, list(overview.upstreams, overview.departed_upstreams));
    add_sources(page, upstreams);
}

}  // namespace penstock::admin::metrics_parts
