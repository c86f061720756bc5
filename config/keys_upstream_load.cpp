#include "config/config.hpp"
#include "config/keys.hpp"

namespace penstock::config::keys {

namespace {

constexpr std::int64_t most_waiting = 1'000'000'000;

constexpr Key hold_keys[] = {
    {.name = "timeout",
     .kind = Kind::duration,
     .access = at<&Hold::timeout>,
     .doc = "Longest time to hold a client; then it is refused.",
     .least = 1},
    {.name = "max_length",
     .kind = Kind::integer,
     .access = at<&Hold::max_length>,
     .doc = "Clients held at a time; further ones are refused.",
     .least = 1,
     .most = most_waiting},
};

constexpr Key queue_keys[] = {
    {.name = "max_length",
     .kind = Kind::integer,
     .access = at<&Queue::max_length>,
     .doc = "Clients waiting at a time; further ones are refused. 0 = no queue: refuse at once.",
     .most = most_waiting},
    {.name = "timeout",
     .kind = Kind::duration,
     .access = at<&Queue::timeout>,
     .doc = "Longest wait; then the client is refused.",
     .least = 1},
    {.name = "policy",
     .kind = Kind::word,
     .access = at<&Queue::policy>,
     .doc = "Who is next: the one that has waited longest, or under overload the newest one, so "
            "that some are served in time rather than all too late.",
     .words = "fifo|adaptive_lifo"},
};

constexpr Key pool_keys[] = {
    {.name = "min_idle",
     .kind = Kind::integer,
     .access = at<&Pool::min_idle>,
     .doc = "Warm connections that each backend always has, over all workers; 0 = no pool.",
     .most = 1'000'000},
    {.name = "max_idle",
     .kind = Kind::integer,
     .access = at<&Pool::max_idle>,
     .doc = "Most of them; between the two the pool follows the arrival rate. 0 = same as "
            "`min_idle`.",
     .most = 1'000'000},
    {.name = "max_age",
     .kind = Kind::duration,
     .access = at<&Pool::max_age>,
     .doc = "An unused warm connection is replaced after this. Stay below the time after which the "
            "backend closes a silent client.",
     .least = 1},
};

constexpr Key slow_start_keys[] = {
    {.name = "window",
     .kind = Kind::duration,
     .access = at<&SlowStart::window>,
     .doc = "How long the weight grows to its full size; 0 = off. Backends of the first load start "
            "with their full weight."},
    {.name = "min_weight",
     .kind = Kind::share,
     .access = at<&SlowStart::min_weight>,
     .doc = "Share of the weight to start with."},
    {.name = "aggression",
     .kind = Kind::number,
     .access = at<&SlowStart::aggression>,
     .doc = "Shape of the growth: the share is (time / window) to the power of 1 / aggression. 1 = "
            "a straight line, above 1 = fast at first.",
     .most = 1000,
     .above_least = true},
};

constexpr Key backend_defaults_keys[] = {
    {.name = "weight",
     .kind = Kind::integer,
     .access = at<&BackendDefaults::weight>,
     .doc = "As in a backend.",
     .most = 65535},
    {.name = "tier",
     .kind = Kind::integer,
     .access = at<&BackendDefaults::tier>,
     .doc = "As in a backend.",
     .most = 65535},
    {.name = "max_connections",
     .kind = Kind::integer,
     .access = at<&BackendDefaults::max_connections>,
     .doc = "As in a backend.",
     .most = 1'000'000'000},
};

constexpr TableSpec tables[] = {
    {.path = "upstream.hold",
     .header = "[upstream.hold]",
     .keys = hold_keys,
     .make = make_default<Hold>,
     .doc = "Clients kept while no backend is available, with `no_backend = \"hold\"`.",
     .print_inline = true},
    {.path = "upstream.queue",
     .header = "[upstream.queue]",
     .keys = queue_keys,
     .make = make_default<Queue>,
     .doc = "Clients that wait while every backend that could take them is at its limit "
            "(`max_connections` of a backend or of the upstream)."},
    {.path = "upstream.pool",
     .header = "[upstream.pool]",
     .keys = pool_keys,
     .make = make_default<Pool>,
     .doc = "Warm connections save a client the time to connect to its backend. They count as "
            "connections of their backend, and are given up first when a client needs the place."},
    {.path = "upstream.slow_start",
     .header = "[upstream.slow_start]",
     .keys = slow_start_keys,
     .make = make_default<SlowStart>,
     .doc = "A backend that recovered or is new gets its weight step by step."},
    {.path = "upstream.backend_defaults",
     .header = "[upstream.backend_defaults]",
     .keys = backend_defaults_keys,
     .make = make_default<BackendDefaults>,
     .doc = "Values for the backends of the upstream that do not give their own.",
     .print_inline = true},
};

}  // namespace

std::span<const TableSpec> upstream_load_tables() { return tables; }

}  // namespace penstock::config::keys
