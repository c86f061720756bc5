#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "balancer/circuit.hpp"
#include "base/clock.hpp"
#include "base/role.hpp"
#include "config/config.hpp"
#include "metrics/totals.hpp"
#include "proxy/figures.hpp"

/// What the running proxy tells its operator, as plain values: each page of the API and the
/// metrics are made of these. Durations and rates are as of the moment they were asked for.
namespace penstock::admin {

struct WorkerView {
    unsigned id = 0;
    std::uint32_t connections = 0;
    metrics::WorkerTotals totals{};
    double busy = 0;                 // share of the last seconds
    std::optional<double> lag_ms{};  // p99 of the last seconds
    Duration silent{};               // since it last answered, if it owes an answer
    bool stuck = false;              // it has not answered for too long
};

/// What the kernel says of the process.
struct ProcessUsage {
    double cpu_s = 0;
    std::uint64_t resident_bytes = 0;
    std::uint64_t virtual_bytes = 0;
    std::uint64_t open_descriptors = 0;
    std::uint64_t max_descriptors = 0;
    double started_s = 0;  // since the epoch
};

/// How the configuration last came into force, or did not. The start counts as a reload.
struct LastReload {
    WallTime time{};
    bool ok = true;
    std::vector<std::string> errors{};  // each with its place, where it has one
};

/// A process that this one has taken over from, and that still has sessions.
struct OldProcess {
    int pid = 0;
    std::string version{};
    std::uint64_t connections = 0;
    std::optional<double> s_left{};  // until it ends its last sessions
};

/// What the process denies itself (process.sandbox), and which parts of that are in force.
struct SandboxView {
    std::string mode = "off";
    bool seccomp = false;
    bool landlock = false;
    bool no_new_privs = false;
    bool capabilities = false;  // dropped, but for those that are needed later
    std::vector<std::string> missing{};  // a sentence for each part that should be in force
};

struct ProcessView {
    std::string version{};
    std::string compiler{};
    int pid = 0;
    Duration uptime{};
    WallTime started{};
    bool accepting = false;  // between start and stop
    bool draining = false;   // by an operator, or stopping
    std::vector<WorkerView> workers{};
    std::uint64_t connections = 0;
    std::uint64_t connection_limit = 0;
    std::string limit_cause{};
    std::uint64_t memory_limit = 0;  // bytes; 0 = none
    bool overload = false;           // memory is short, new connections are refused
    std::uint64_t access_log_lines = 0;
    std::uint64_t access_log_dropped = 0;
    std::uint64_t access_log_suppressed = 0;
    std::uint64_t log_dropped = 0;
    LastReload last_reload{};
    WallTime last_reload_success{};
    std::uint64_t reloads_succeeded = 0;  // of those since the start
    std::uint64_t reloads_failed = 0;
    std::vector<std::string> restart_required{};  // keys of the file that need a new start
    std::vector<OldProcess> old_processes{};      // the newest first
    int took_over_from = 0;  // pid of the process before this one; 0 = a start of its own
    SandboxView sandbox{};
    ProcessUsage usage{};
};

/// A certificate in force.
struct CertificateView {
    std::string owner{};  // the listener or upstream
    std::string file{};
    std::string subject{};
    std::vector<std::string> names{};
    WallTime not_after{};
    double s_left = 0;  // until then; below 0 = it has expired
};

/// A file of lists of revoked certificates in force.
struct RevocationsView {
    std::string owner{};  // the listener or upstream
    std::string file{};
    WallTime next_update{};  // the first of them has expired then
};

/// Per second, over the last seconds.
struct ListenerRates {
    double accepted = 0;
    double bytes_to_backend = 0;
    double bytes_to_client = 0;
};

struct AcceptQueue {
    std::uint64_t length = 0;
    std::uint64_t limit = 0;
};

/// An upstream that clients of a listener may come to, and the role that they ask for there.
struct DestinationView {
    std::string upstream{};
    Role role = Role::none;
    std::uint64_t available = 0;  // backends, to them
};

struct ListenerView {
    std::string name{};
    std::vector<std::string> bind{};  // with the real ports
    std::string upstream{};           // "" where it is split, or nobody serves
    std::vector<std::pair<std::string, std::uint32_t>> split{};  // as it is now
    std::string split_by_whom{};  // "" = as in the file
    Role role = Role::none;
    std::vector<DestinationView> destinations{};  // each once
    std::uint64_t active = 0;
    std::uint64_t limit = 0;  // 0 = only the process limit
    AcceptQueue queue{};
    bool draining = false;
    bool tls = false;  // ends here
    std::vector<CertificateView> certificates{};
    proxy::ListenerFigures figures{};
    ListenerRates rates{};
};

/// What an operator has changed while running.
struct OverrideView {
    std::optional<config::BackendState> state{};
    std::optional<std::uint32_t> weight{};
    std::string by{};
    WallTime since{};
};

struct CheckView {
    bool enabled = false;
    bool settled = true;
    bool up = true;
    Role role = Role::none;
    std::string dispute{};  // what it claims, and whom others believe; "" = no conflict
    std::optional<WallTime> since{};
    struct Last {
        bool ok = false;
        double ms = 0;
        std::string error{};
        WallTime at{};
    };
    std::optional<Last> last{};
};

struct CircuitView {
    balancer::CircuitState state = balancer::CircuitState::closed;
    std::string cause{};
    std::optional<double> retry_in_s{};
};

struct BackendRates {
    double established = 0;
    double failed = 0;
    double bytes_to_backend = 0;
    double bytes_to_client = 0;
};

struct Quantiles {
    std::optional<double> p50_ms{};
    std::optional<double> p99_ms{};
};

struct BackendView {
    std::string name{};
    std::string address{};
    std::uint32_t tier = 0;
    config::BackendState state = config::BackendState::ready;
    std::optional<OverrideView> override{};
    bool available = false;
    bool eligible = false;     // available and below its limits
    std::string excluded_by{};  // "" = it may be chosen: `drain`, `down`, `circuit_open`, ...
    std::string why{};         // the same in words
    CheckView check{};
    CircuitView circuit{};
    std::uint32_t weight = 1;
    double effective_weight = 1;
    std::optional<double> slow_start_s_left{};
    std::uint64_t active = 0;  // sessions
    std::uint64_t limit = 0;
    std::uint64_t connecting = 0;
    std::uint64_t warm = 0;
    metrics::BackendTotals totals{};
    Quantiles connect{};
    Quantiles first_byte{};
    BackendRates rates{};
};

/// Where an upstream finds its backends: DNS or a file.
struct SourceView {
    std::string what{};
    bool is_dns = false;
    std::uint64_t answers = 0;
    std::uint64_t failures = 0;
    std::string last_error{};  // "" = the last one was good
    std::optional<WallTime> last_success{};
    std::uint64_t ignored = 0;
    std::uint64_t backends = 0;
};

/// A local address that an upstream connects from.
struct SourceAddressView {
    std::string address{};  // without a port
    std::uint64_t connections = 0;
};

struct UpstreamView {
    std::string name{};
    std::string balance{};
    bool panic = false;
    bool role_conflict = false;
    std::uint64_t available = 0;
    std::uint64_t eligible = 0;
    std::uint64_t connections = 0;
    std::uint64_t connections_limit = 0;
    std::uint64_t queued = 0;
    std::uint64_t queue_limit = 0;
    std::uint64_t held = 0;
    bool paused = false;
    std::optional<double> pause_s_left{};
    std::uint64_t hash_checksum = 0;  // 0 = its policy has no table
    metrics::UpstreamTotals totals{};
    std::vector<SourceAddressView> source_addresses{};
    std::vector<SourceView> sources{};
    std::vector<BackendView> backends{};
    std::vector<BackendView> departed{};  // they left not long ago: for the metrics

    [[nodiscard]] bool looks_up() const noexcept {
        for (const SourceView& source : sources)
            if (source.is_dns) return true;
        return false;
    }
};

/// Everything at one moment.
struct Overview {
    ProcessView process{};
    std::vector<ListenerView> listeners{};
    std::vector<UpstreamView> upstreams{};
    // The configuration has left them not long ago, or they still have sessions: for the metrics.
    // Name, figures and who is connected; of upstreams name, totals, `source_addresses`
    // and `departed`.
    std::vector<ListenerView> departed_listeners{};
    std::vector<UpstreamView> departed_upstreams{};
    std::vector<CertificateView> certificates{};
    std::vector<RevocationsView> revocations{};
    std::uint64_t certificate_reloads_ok = 0;  // changes on disk that were taken
    std::uint64_t certificate_reloads_failed = 0;
};

/// Who would get a connection now, and why not the others.
struct Explanation {
    struct Candidate {
        std::string backend{};
        std::string address{};
        std::uint64_t active = 0;
        double weight = 0;
        std::optional<double> score{};
        std::string excluded_by{};
        std::string note{};
    };
    struct Limit {
        std::string name{};
        std::uint64_t used = 0;
        std::uint64_t limit = 0;
        std::string rate{};  // `10/m`: used and limit are tokens; "" = they are connections
    };
    std::string listener{};
    std::string route{};  // its number, or the server name of `[listener.sni]`
    std::string condition{};  // what the route asks for: `sni *.example.com`
    std::string tls{};  // `terminate`, `passthrough`; "" = nobody looks
    std::string upstream{};  // "" = no route
    std::string balance{};
    std::string outcome{};  // `served`, `queued`, `held`, `waits`, `refused`
    std::string chosen{};  // "" = nobody, or left to chance
    std::string note{};
    std::vector<std::string> failing_sources{};  // of the upstream: which, and how
    std::vector<Candidate> candidates{};
    std::vector<Limit> limits{};
};

}  // namespace penstock::admin
