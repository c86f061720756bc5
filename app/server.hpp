#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "app/helper_thread.hpp"
#include "app/listening_sockets.hpp"
#include "app/tls/material.hpp"
#include "base/log.hpp"
#include "config/config.hpp"
#include "net/tcp_info.hpp"
#include "proxy/access_log/writer.hpp"
#include "proxy/drain_plan.hpp"
#include "proxy/figures.hpp"
#include "proxy/worker.hpp"

namespace penstock::app {

using ConfigPtr = std::shared_ptr<const config::Config>;
/// By the order of the configuration's listeners; null = everybody may enter.
using AccessPolicies = std::vector<std::shared_ptr<const proxy::AccessPolicy>>;

/// The configuration in operation: the listening sockets, the workers and their threads, the access
/// log's writer. What has an index counts as the configuration of now does. All methods belong to
/// the control thread; completion callbacks run on a worker and have to post.
class Server {
public:
    struct Options {
        std::size_t workers;
        std::uint64_t max_connections;
        std::size_t buffer_cap_bytes;  // over all workers
        AccessPolicies access;
        TlsContexts tls;
        std::vector<proxy::SnapshotPtr> first;  // of each upstream
        InheritedSockets* inherited = nullptr;  // until open() returns
    };

    /// Opens every listening socket and the access log; nothing is accepted yet. The error is a
    /// sentence for the user.
    [[nodiscard]] static std::expected<std::unique_ptr<Server>, std::string> open(ConfigPtr config,
                                                                                  Options options,
                                                                                  Logger& log);
    ~Server();

    /// Begins to accept on every listener, on threads of its own.
    [[nodiscard]] std::expected<void, std::string> start();

    /// Another configuration for the running server, made ready so far that nothing can fail.
    struct Change {
        ConfigPtr config{};
        std::uint64_t max_connections = 0;
        AccessPolicies access{};
        TlsContexts tls{};
        ListeningSockets::Wanted sockets{};
        std::map<std::string, proxy::SnapshotPtr> snapshots{};  // of new and changed upstreams
        // Weights that operators have set of splits, by listener.
        std::map<std::string, std::vector<std::uint32_t>> splits{};
        std::unique_ptr<proxy::LogWriter> log_writer{};  // where the access log's target changes
    };
    /// Opens what a change to that configuration needs: sockets, which listen, and the access log.
    [[nodiscard]] std::expected<Change, std::string> prepare(ConfigPtr config) const;
    /// What prepare() has opened, closed again.
    static void withdraw(const Change& change) noexcept;
    /// From now on; every worker gets one message. `done` once the last one has it.
    void apply(Change change, std::function<void()> done);
    /// After that: gives up what only the configuration before needed. Waits for nothing.
    void settle();

    /// Takes what is queued and closes the listening sockets; `done` once every worker has.
    void stop_accepting(std::function<void()> done);
    /// Another process has the listening sockets too: closes them without taking what is queued.
    void let_go(std::function<void()> done);
    /// After either is done. `remove_paths`: of unix sockets.
    void forget_sockets(ListeningSockets::Paths paths) { sockets_.forget(paths); }
    /// Unix sockets of the process before this one are this one's: it removes their paths.
    void own_paths() noexcept { sockets_.own_paths(); }
    /// After either: closes sessions by `plan`; `done` once none is left.
    void drain(const proxy::DrainPlan& plan, std::function<void()> done);
    /// While it drains: those that are left end by this plan, if it is the sooner one.
    void hasten(const proxy::DrainPlan& plan);
    void abort_all();
    /// Ends the workers' threads. No session is left afterwards.
    void join();
    /// After join(): ends those that write access logs. False: at the deadline one of them is
    /// still there, in a disk that hangs.
    bool end_logs(TimePoint deadline = no_deadline);
    /// Instead of start(): leaves nothing behind in the file system. So does the destructor.
    void withdraw();

    void reopen_access_log();
    /// From now on handshakes there go by these.
    void set_tls(const std::string& listener,
                 const std::shared_ptr<const net::tls::ServerContext>& context);
    void set_upstream_tls(const std::string& upstream,
                          const std::shared_ptr<const net::tls::ClientContext>& context);
    /// Memory is short, or is not any more.
    void save_memory(bool is_short);
    /// From now on this policy decides who enters the listener.
    void set_access(const std::string& listener, std::shared_ptr<const proxy::AccessPolicy> policy);

    // For the operator.
    void pause(std::size_t upstream, bool paused);
    /// Its sessions end as if it had left the configuration. False: there is no such listener.
    bool drain_listener(const std::string& name);
    void set_split(std::size_t listener, const std::vector<std::uint32_t>& weights);

    [[nodiscard]] const config::Config& config() const noexcept { return *config_; }
    [[nodiscard]] const ConfigPtr& config_ptr() const noexcept { return config_; }
    /// Any thread may look at them; their cells are read while they count.
    [[nodiscard]] const proxy::Workers& workers() const noexcept { return workers_; }
    [[nodiscard]] const std::vector<std::shared_ptr<proxy::ListenerShared>>& listeners()
        const noexcept {
        return listeners_;
    }
    [[nodiscard]] const std::vector<std::shared_ptr<proxy::UpstreamShared>>& upstreams()
        const noexcept {
        return upstreams_;
    }
    /// What is counted for those that the configuration has left, by name, as long as it is
    /// remembered: five minutes after their last session.
    [[nodiscard]] std::vector<std::shared_ptr<proxy::ListenerAccount>> departed_listeners() const;
    [[nodiscard]] std::vector<std::shared_ptr<proxy::UpstreamShared>> departed_upstreams() const;
    /// Now and then.
    void forget_departed(TimePoint now);

    [[nodiscard]] proxy::WorkersShared& shared() noexcept { return shared_; }
    /// The workers run: what is sent to them is done soon.
    [[nodiscard]] bool running() const noexcept { return !threads_.empty(); }
    /// While they run: the thread of a worker, for signals.
    [[nodiscard]] std::thread::native_handle_type thread_of(std::size_t worker) {
        return threads_[worker].native_handle();
    }
    /// Between start() and stop_accepting().
    [[nodiscard]] bool accepting() const noexcept { return accepting_; }
    [[nodiscard]] const ListeningSockets& sockets() const noexcept { return sockets_; }
    /// Sockets of a service manager that no listener uses, for listeners to come.
    void keep_spare(InheritedSockets spare) { sockets_.keep_spare(std::move(spare)); }
    /// Clients that the kernel holds for the listener; nothing of unix sockets.
    [[nodiscard]] net::AcceptQueueInfo accept_queue(std::size_t listener) const noexcept;
    [[nodiscard]] std::uint64_t log_lines_written() const noexcept;
    [[nodiscard]] std::uint64_t log_lines_lost() const noexcept;
    /// Who may enter the listener now; null = everybody.
    [[nodiscard]] const proxy::AccessPolicy* access(std::size_t listener) const noexcept {
        return access_[listener].get();
    }

    // Health's. Before start() too: the workers know it before they accept anybody.
    void publish(const std::shared_ptr<proxy::UpstreamShared>& upstream,
                 const proxy::SnapshotPtr& snapshot);
    void end_sessions(const health::EndSessions& which, const config::Drain& drain);
    void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                       health::EndCause cause);
    /// Before start(): called on a worker when the outcomes of a backend have to be looked at. The
    /// backend may be gone by the time that somebody does.
    using AlarmHandler = std::function<void(const std::shared_ptr<proxy::UpstreamShared>&,
                                            const balancer::Backend&)>;
    void on_alarm(AlarmHandler handler) { shared_.on_alarm = std::move(handler); }

    struct Bound {
        std::string listener;
        Endpoint address;
    };
    [[nodiscard]] std::vector<Bound> bound() const;
    [[nodiscard]] std::uint64_t connections() const noexcept { return shared_.connections.used(); }
    /// `1,204 connections: 1,200 completed, 4 client_reset; ...`, for the log.
    [[nodiscard]] std::string summary() const;

private:
    template <typename T>
    struct Known {
        std::shared_ptr<T> shared{};
        bool left = false;  // the configuration
        TimePoint idle_since = no_deadline;  // without a session
    };

    /// What wrote the access log before it got another target.
    struct OldLog {
        explicit OldLog(std::unique_ptr<proxy::LogWriter> its_writer)
            : writer(std::move(its_writer)) {}
        std::unique_ptr<proxy::LogWriter> writer;
        bool ending = false;
        std::atomic<bool> ended = false;
    };

    Server(ConfigPtr config, Options options, Logger& log);
    [[nodiscard]] std::expected<std::unique_ptr<proxy::LogWriter>, std::string> open_log(
        const config::Config& config) const;
    void make_workers();
    /// Everything of `change` but sockets and workers; what the workers have to know.
    [[nodiscard]] std::vector<proxy::WorkerUpdate> take(const Change& change,
                                                        const config::Config& before);
    void take_listeners(const Change& change, const config::Config& before,
                        std::vector<proxy::WorkerUpdate>& updates);
    void take_upstreams(const Change& change, std::vector<proxy::WorkerUpdate>& updates);
    void drain_left(const config::Config& before);
    void drain_listener(const std::string& name, const config::Config& settings_of);
    [[nodiscard]] balancer::SourceTable::Size source_table() const noexcept;
    [[nodiscard]] std::string gates_summary() const;
    [[nodiscard]] std::string upstreams_summary() const;
    /// Sends `function` to every worker; calls `done` on the last one.
    template <typename F>
    void on_each_worker(F function, std::function<void()> done);

    ConfigPtr config_;
    Options options_;
    Logger& log_;
    proxy::WorkersShared shared_;
    ListeningSockets sockets_;
    ListeningSockets::Wanted first_sockets_;  // until start()
    std::vector<std::shared_ptr<proxy::ListenerShared>> listeners_;
    std::vector<std::shared_ptr<proxy::UpstreamShared>> upstreams_;
    std::map<std::string, Known<proxy::ListenerAccount>> known_listeners_;
    std::map<std::string, Known<proxy::UpstreamShared>> known_upstreams_;
    AccessPolicies access_;  // of each listener, now
    bool accepting_ = false;
    std::unique_ptr<proxy::LogWriter> log_writer_;
    std::vector<std::shared_ptr<OldLog>> old_logs_;
    std::uint64_t old_lines_written_ = 0;  // by those that have ended
    std::uint64_t old_lines_lost_ = 0;
    HelperThread log_ender_;  // their disks may hang
    std::vector<std::unique_ptr<proxy::Worker>> workers_;
    std::vector<std::thread> threads_;
};

}  // namespace penstock::app
