#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "balancer/hash_key.hpp"
#include "balancer/retry_budget.hpp"
#include "balancer/selector.hpp"
#include "balancer/slot_limiter.hpp"
#include "balancer/snapshot.hpp"
#include "base/role.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/socket.hpp"
#include "net/tls/stream.hpp"
#include "proxy/handoff.hpp"
#include "proxy/queue/hold_room.hpp"
#include "proxy/queue/waiting_line.hpp"
#include "proxy/source_addresses.hpp"
#include "proxy/source_book.hpp"

namespace penstock::proxy {

class WarmPool;

using SnapshotPtr = std::shared_ptr<const balancer::Snapshot>;

using UpstreamSettings = std::shared_ptr<const config::Upstream>;

/// What all workers share of one upstream, whatever its settings become: what is limited over all
/// of them, and what is counted.
struct UpstreamShared : std::enable_shared_from_this<UpstreamShared> {
    UpstreamShared(const config::Upstream& from, std::size_t workers);

    /// From now on the limits are these. Any thread; who may go on because of it is woken by
    /// UpstreamContext::change().
    void configure(const config::Upstream& changed);

    [[nodiscard]] WaitingLine& line(Role asked) noexcept {
        return lines[std::to_underlying(asked)];
    }
    /// Some session waits, whatever role it asks for, and nobody has called it.
    [[nodiscard]] bool anybody_waits() const noexcept;
    /// The same, or was called and has no slot yet.
    [[nodiscard]] bool occupied() const noexcept;

    const std::string name;
    balancer::SlotLimiter connections;  // of sessions and pools
    balancer::SlotLimiter held;
    balancer::RetryBudget retries;
    std::array<WaitingLine, role_count> lines;  // one per role asked for: they wait for others
    SourceBook sources;
    WorkerLoads warm;  // warm connections, those being opened included
    std::vector<metrics::UpstreamCells> cells;  // one for each worker
};

/// What clients that ask for one role see of an upstream, on one worker.
struct Lane {
    Lane(Role asked, SnapshotPtr snapshot, const balancer::SelectorOptions& options,
         std::uint64_t seed);

    Role role;
    balancer::Selector selector;
    HoldRoom hold_room;
};

/// One worker's view of an upstream. Sessions hold it, so that it and its backends outlive a change
/// of the configuration. Counted without atomics: it never leaves its worker.
struct UpstreamContext
    : boost::intrusive_ref_counter<UpstreamContext, boost::thread_unsafe_counter> {
    /// Any thread, until the worker has it. `first`: who may be chosen.
    UpstreamContext(std::shared_ptr<UpstreamShared> from, UpstreamSettings its_settings,
                    SnapshotPtr first, unsigned worker, std::uint64_t seed);
    ~UpstreamContext();

    /// From now on it goes by these settings and this snapshot. Its pool is up to the worker.
    void change(UpstreamSettings settings, SnapshotPtr snapshot);
    /// It is no longer part of the configuration: nobody is available, and nobody is held.
    void leave();

    /// Made at the first call; the one of Role::none is always there.
    Lane& lane(Role asked);
    [[nodiscard]] const std::vector<std::unique_ptr<Lane>>& lanes() const noexcept {
        return lanes_;
    }
    /// A session of this lane could get a slot now. Nothing is reserved.
    [[nodiscard]] bool has_room(const Lane& lane) const noexcept {
        return !shared->connections.full() && lane.selector.has_room();
    }
    /// Available to some lane.
    [[nodiscard]] bool available(std::uint32_t backend) const noexcept;

    [[nodiscard]] const std::shared_ptr<const balancer::BackendSet>& set() const noexcept {
        return snapshot_->set;
    }
    /// From now on connections go by this. Backends that left the set stay alive as long as
    /// sessions of any worker hold them. True if the set is another one.
    bool adopt(SnapshotPtr snapshot);

    /// As net::start_connect(), from the source addresses of the upstream; `from` as there.
    [[nodiscard]] Result<net::ConnectState> start_connect(net::Socket& socket, const Endpoint& to,
                                                          net::Poller& poller,
                                                          SourceAddresses::Place& from) noexcept {
        return sources.start_connect(socket, to, poller, cells.no_port, from);
    }

    /// From now on connections are made with it; what the old one has learnt of servers is
    /// forgotten. True: it is another one.
    bool use_tls(std::shared_ptr<const net::tls::ClientContext> context);
    /// What the certificate of `backend` must bear, as the settings are now.
    [[nodiscard]] std::string verify_name(const balancer::Backend& backend) const;
    /// TLS on a connection to `backend`, before the handshake.
    [[nodiscard]] std::unique_ptr<net::tls::Stream> secure(const net::tls::ClientContext& context,
                                                           const std::string& verify_name,
                                                           const balancer::Backend& backend,
                                                           net::Socket& socket);
    /// What the server has offered to resume is offered to it the next time.
    void keep_session(const balancer::Backend& backend, net::tls::Stream& stream);

    std::shared_ptr<UpstreamShared> shared;
    std::shared_ptr<const net::tls::ClientContext> tls{};  // null = plain
    balancer::KeyHasher hasher;  // gives keys to hash policies only
    SourceAddresses sources;
    std::unique_ptr<WarmPool> pool;  // null if the upstream has none
    net::KeepaliveOptions keepalive;
    metrics::UpstreamCells& cells;
    bool paused = false;  // by an operator: new clients are held
    bool left = false;  // the configuration: who waits is refused
    bool wants_latency;  // the policy looks at the time to the first byte

    [[nodiscard]] const config::Upstream& settings() const noexcept { return *settings_; }
    [[nodiscard]] unsigned worker() const noexcept { return worker_; }

private:
    void keep_leaving(const balancer::BackendSet& before);
    [[nodiscard]] std::uint64_t lane_seed() noexcept;

    UpstreamSettings settings_;
    SnapshotPtr snapshot_;
    unsigned worker_;
    std::uint64_t seed_;
    std::vector<std::unique_ptr<Lane>> lanes_;  // that of Role::none first
    std::vector<std::shared_ptr<balancer::Backend>> leaving_;
    std::unordered_map<std::string, net::tls::ClientSession> sessions_;  // by name of the backend
};

using UpstreamPtr = boost::intrusive_ptr<UpstreamContext>;

// As the configuration has it.
[[nodiscard]] balancer::SelectorOptions selector_options(const config::Upstream& upstream) noexcept;
[[nodiscard]] balancer::KeyHasher key_hasher(const config::Upstream& upstream,
                                             std::uint64_t hash_seed) noexcept;
[[nodiscard]] net::KeepaliveOptions keepalive_options(const config::Keepalive& keepalive) noexcept;

}  // namespace penstock::proxy
