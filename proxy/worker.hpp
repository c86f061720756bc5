#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "balancer/outcomes.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/log.hpp"
#include "base/log_throttle.hpp"
#include "base/random.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/event_loop.hpp"
#include "net/listen_socket.hpp"
#include "proxy/acceptor.hpp"
#include "proxy/access_log/worker_log.hpp"
#include "proxy/context.hpp"
#include "proxy/drain_plan.hpp"
#include "proxy/gate/memory_guard.hpp"
#include "proxy/handoff.hpp"
#include "proxy/inspect/closed_sessions.hpp"
#include "proxy/session.hpp"
#include "proxy/session_drain.hpp"
#include "proxy/waiting_workers.hpp"
#include "proxy/worker_update.hpp"

namespace penstock::proxy {

class Worker;

/// What the workers of a process share. Made by the control thread; outlives them.
struct WorkersShared {
    WorkersShared(std::size_t count, std::uint64_t max_connections, std::uint64_t id,
                  Logger& logger)
        : connections(max_connections), waiting(count), loads(count), process_id(id), log(logger) {}

    balancer::SlotLimiter connections;
    WaitingWorkers waiting;  // for a process slot or a descriptor
    WorkerLoads loads;
    MemoryState memory{};
    std::uint64_t process_id;
    Logger& log;
    /// Called on a worker when the outcomes of a backend's connections have to be looked at now;
    /// returns at once. Set before the first worker runs.
    std::function<void(const std::shared_ptr<UpstreamShared>&, const balancer::Backend&)> on_alarm;
    /// Called on a worker when the log tells that a listener's limit bites; returns at once. As
    /// on_alarm.
    std::function<void(const std::string& listener, CloseReason reason, std::string text)> on_limit;
    std::vector<Worker*> workers;  // complete before the first one runs
};

struct WorkerOptions {
    unsigned index;
    std::size_t buffer_cap_bytes;
    config::AccessLog access_log;
};

/// One thread's share of the data plane: its loop, listening sockets, sessions, pools and cells.
/// Everything but send() belongs to the thread that calls run().
class Worker final : private Timer, private net::TurnObserver {
public:
    Worker(WorkersShared& shared, const WorkerOptions& options, LogWriter* log_writer);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Before run(), and then on the worker's thread: goes by another configuration. Live sessions
    /// keep what they came in by. `update` has fresh contexts for this worker alone.
    void apply(WorkerUpdate update);
    /// Once all workers have applied it: upstreams that are not part of it have no backends any
    /// more. Until then workers that are behind may hand over connections for them.
    void let_leave();
    /// The part of it that is about sockets.
    void take_sockets(std::vector<WorkerUpdate::Socket> sockets);

    /// Accepts and relays until stop(); then ends what is left. On the worker's thread.
    void run();
    /// Any thread: runs `function` on this worker.
    template <typename F>
    void send(F function) {
        loop_.send(std::move(function));
    }

    /// Takes what the kernel has queued and closes the listening sockets.
    void stop_accepting();
    /// Closes them without that: another process has them too, and accepts.
    void let_go();
    /// Closes sessions as `plan` says; calls `when_empty` once none is left.
    void drain(const DrainPlan& plan, std::function<void()> when_empty);
    void abort_all(CloseReason reason);
    /// Memory is short: no more buffers for blocked writes, and nothing is kept for later use. Or
    /// it is not any more.
    void save_memory(bool is_short);
    void stop() noexcept { loop_.stop(); }

    /// Health's verdicts on the backends of an upstream, perhaps with another set of them. Who
    /// waits for one of them goes on.
    void adopt(const UpstreamShared& upstream, SnapshotPtr snapshot);
    /// Sessions of a backend end, at once or by `drain`.
    void end_sessions(const health::EndSessions& which, const config::Drain& drain);
    /// What is left of them after an earlier end_sessions() for that cause stays.
    void keep_sessions(const balancer::Backend& backend, health::EndCause cause);

    /// From now on handshakes with its clients go by these certificates; null = TLS ends there no
    /// longer.
    void set_tls(const ListenerAccount& listener,
                 std::shared_ptr<const net::tls::ServerContext> context);
    /// As set_tls(), for connections to backends.
    void set_tls(const UpstreamShared& upstream,
                 std::shared_ptr<const net::tls::ClientContext> context);
    /// From now on this policy decides who enters the listener.
    void set_access(const ListenerAccount& listener, std::shared_ptr<const AccessPolicy> policy);

    // For the operator.
    [[nodiscard]] std::vector<SessionInfo> list_sessions(const SessionFilter& filter) const;
    [[nodiscard]] std::size_t count_sessions(const DrainScope& scope) const {
        return count_covered(sessions_, scope);
    }
    /// Ends the session of that number, of this worker. False if it is not there.
    bool kill(std::uint64_t sequence);
    /// Ends some sessions by and by.
    void add_drain(SessionDrain drain);
    [[nodiscard]] ClosedSessions& closed_sessions() noexcept { return closed_sessions_; }
    /// New clients of that upstream are held, or no longer.
    void pause(const UpstreamShared& upstream, bool paused);
    /// From now on the listener's clients go by these weights, in the order of its split.
    void set_split(const ListenerAccount& listener, const std::vector<std::uint32_t>& weights);

    // For sessions and pools.
    /// A slot of `upstream` may be free: if one is, calls the session whose turn it is, on its
    /// worker. Costs one load while nobody waits.
    void call_waiting(UpstreamContext& of) noexcept;
    /// A session waits for a slot of `upstream`: some worker gives up a warm connection.
    void ask_for_warm(UpstreamShared& upstream) noexcept;

    /// A connection to `backend` failed, and that is its fault.
    void report_backend_failure(UpstreamContext& upstream, balancer::Backend& backend,
                                balancer::CircuitPass pass, balancer::Failure how) noexcept;
    void raise_alarm(UpstreamContext& upstream, const balancer::Backend& backend) noexcept;

    // For acceptors and sessions.
    /// It is known now where a client of that listener goes, which may have left meanwhile.
    void look_after_left(const ListenerAccount& listener) noexcept;
    void admit(ListenerContext& listener, Accepted accepted);
    void link(Session& session) noexcept;
    void unlink(Session& session, ListenerAccount& listener) noexcept;
    void report_failure(std::exception_ptr error) noexcept;
    void report_accept_error(const ListenerContext& listener, int error,
                             net::AcceptFailure failure);
    /// A limit of the listener bites, or would: the log tells now and then.
    void note_limit(ListenerContext& listener, GateLog::Event event, CloseReason reason,
                    const CompactEndpoint& peer);
    /// One handshake fewer is under way there: whoever waits goes on.
    void call_handshake(ListenerAccount& listener) noexcept;
    /// A slot of `listener` and one of the process may be free: wakes whom that concerns.
    void wake_acceptors(ListenerAccount& listener) noexcept;
    /// A system call on a connection failed that should not fail.
    void report_internal(int error) noexcept;
    [[nodiscard]] std::uint64_t next_sequence() noexcept { return next_sequence_++; }
    [[nodiscard]] net::HangupHandler& ignore_hangups() noexcept { return ignore_hangups_; }

    [[nodiscard]] net::EventLoop& loop() noexcept { return loop_; }
    [[nodiscard]] WorkersShared& shared() noexcept { return shared_; }
    [[nodiscard]] WorkerLog& log() noexcept { return log_; }
    [[nodiscard]] Random& random() noexcept { return random_; }
    [[nodiscard]] metrics::WorkerCells& cells() noexcept { return cells_; }
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] std::uint64_t process_id() const noexcept { return shared_.process_id; }
    [[nodiscard]] std::size_t sessions() const noexcept { return session_count_; }
    // For tests, on the worker's thread or before run().
    [[nodiscard]] const std::vector<ListenerPtr>& listeners() const noexcept { return listeners_; }
    [[nodiscard]] const std::vector<UpstreamPtr>& upstreams() const noexcept { return upstreams_; }

private:
    struct IgnoreHangups final : net::HangupHandler {
        void on_hangup(net::Watch&) override {}
    };

    void take_upstreams(std::vector<WorkerUpdate::Upstream>& upstreams);
    void take_listeners(const std::vector<WorkerUpdate::Listener>& listeners, bool seed_changed);
    void set_up_pool(UpstreamContext& upstream);
    void leave(UpstreamContext& upstream);
    /// Those who wait there look again.
    void wake_waiting(UpstreamContext& upstream);
    [[nodiscard]] ListenerPtr make_listener(std::shared_ptr<ListenerShared> shared,
                                            const std::vector<UpstreamPtr>& upstreams);
    void set_split(ListenerContext& listener, const std::vector<std::uint32_t>& weights);
    void start(Acceptor& acceptor);
    [[nodiscard]] ListenerContext* context_of(const ListenerAccount& account) noexcept;
    void on_timer(TimePoint now) override;
    void on_turn(Duration busy) noexcept override;
    void wake_called(UpstreamShared& upstream) noexcept;
    void ask_for_warm(UpstreamShared& upstream, std::size_t workers_left) noexcept;
    void give_up_warm(UpstreamShared& upstream, std::size_t workers_left) noexcept;
    [[nodiscard]] UpstreamContext* context_of(const UpstreamShared& upstream) noexcept;
    void finish();
    void start_session(ListenerContext& listener, Accepted accepted);
    /// One that another worker has accepted, for its listener as it is here; `changes`: of that
    /// worker, then.
    void take_over(const std::shared_ptr<ListenerShared>& listener, Accepted accepted,
                   std::uint64_t changes);
    void take_over_early();
    void refuse_handed(const std::shared_ptr<ListenerShared>& listener, Accepted accepted,
                       CloseReason reason);
    /// Calls all who wait in a lane: they find out that nobody is available.
    void call_all(UpstreamContext& upstream, const Lane& lane);
    void call_next(UpstreamContext& upstream, const Lane& lane) noexcept;
    void resume_held(Lane& lane);
    void step_drains(TimePoint now);
    void wake_one(WaitingWorkers& waiting) noexcept;
    void wake_handshake(ListenerAccount& listener) noexcept;
    void resume_accepting();

    WorkersShared& shared_;
    unsigned index_;
    net::EventLoop loop_;
    metrics::WorkerCells cells_;
    WorkerLog log_;
    Random random_;
    IgnoreHangups ignore_hangups_;
    std::vector<UpstreamPtr> upstreams_;
    std::vector<ListenerPtr> listeners_;
    std::vector<UpstreamPtr> leaving_;  // see let_leave()
    std::vector<ListenerPtr> left_listeners_;  // by the last change: one may be on its way to them
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    std::vector<std::unique_ptr<Acceptor>> stopped_acceptors_;  // until their coroutines have ended
    std::uint64_t hash_seed_ = 0;  // process.hash_seed
    bool running_ = false;
    std::uint64_t changes_ = 0;  // apply() has been called; every worker gets each change
    struct Early {
        std::shared_ptr<ListenerShared> listener;
        Accepted accepted;
        std::uint64_t changes;
    };
    std::vector<Early> early_;  // handed over by workers that a change has reached earlier
    SessionList sessions_;
    std::size_t session_count_ = 0;
    std::uint64_t next_sequence_;
    std::vector<SessionDrain> drains_;
    ClosedSessions closed_sessions_;
    std::function<void()> when_empty_;
    LogThrottle accept_errors_;
    LogThrottle internal_errors_;
};

}  // namespace penstock::proxy
