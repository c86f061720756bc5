#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/log.hpp"
#include "config/config.hpp"
#include "net/listen_socket.hpp"
#include "net/tcp_info.hpp"
#include "proxy/access_log/writer.hpp"
#include "proxy/drain_plan.hpp"
#include "proxy/figures.hpp"
#include "proxy/worker.hpp"

namespace penstock::app {

/// One configuration in operation: the listening sockets, the workers and their threads, the access
/// log's writer. All methods belong to the control thread; completion callbacks run on a worker and
/// have to post.
class Server {
public:
    struct Options {
        std::size_t workers;
        std::uint64_t max_connections;
        std::size_t buffer_cap_bytes;  // over all workers
        std::vector<proxy::AccessPolicy::Files> access;  // of each listener
        std::vector<proxy::SnapshotPtr> first;  // of each upstream
    };

    /// Opens every listening socket and the access log; nothing is accepted yet. The error is a
    /// sentence for the user.
    [[nodiscard]] static std::expected<std::unique_ptr<Server>, std::string> open(
        const config::Config& config, const Options& options, Logger& log);
    ~Server();

    /// Begins to accept on every listener, on threads of its own.
    [[nodiscard]] std::expected<void, std::string> start();

    /// Takes what is queued and closes the listening sockets; `done` once every worker has.
    void stop_accepting(std::function<void()> done);
    /// After stop_accepting(): closes sessions by `plan`; `done` once none is left.
    void drain(const proxy::DrainPlan& plan, std::function<void()> done);
    void abort_all();
    /// Ends the threads. No session is left afterwards.
    void join();
    /// Instead of start(): leaves nothing behind in the file system.
    void withdraw();

    void reopen_access_log();
    /// From now on this policy decides who enters the listener of this index.
    void set_access(std::size_t listener, std::shared_ptr<const proxy::AccessPolicy> policy);

    // For the operator. What has an index counts as the configuration does.
    void pause(std::size_t upstream, bool paused);
    void set_split(std::size_t listener, const std::vector<std::uint32_t>& weights);
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
    [[nodiscard]] proxy::WorkersShared& shared() noexcept { return shared_; }
    /// The workers run: what is sent to them is done soon.
    [[nodiscard]] bool running() const noexcept { return !threads_.empty(); }
    /// Between start() and stop_accepting().
    [[nodiscard]] bool accepting() const noexcept { return accepting_; }
    /// Clients that the kernel holds for the listener; nothing of unix sockets.
    [[nodiscard]] net::AcceptQueueInfo accept_queue(std::size_t listener) const noexcept;
    [[nodiscard]] std::uint64_t log_lines_lost() const noexcept {
        return log_writer_ ? log_writer_->lines_lost() : 0;
    }
    /// Who may enter the listener now; null = everybody.
    [[nodiscard]] const proxy::AccessPolicy* access(std::size_t listener) const noexcept {
        return access_[listener].get();
    }

    // Health's, by the index of the upstream. Before start() too: the workers know it before they
    // accept anybody.
    void publish(std::size_t upstream, const proxy::SnapshotPtr& snapshot);
    void end_sessions(std::size_t upstream, const health::EndSessions& which);
    void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                       health::EndCause cause);
    /// Before start(): called on a worker when the outcomes of a backend have to be looked at. The
    /// backend may be gone by the time that somebody does.
    void on_alarm(std::function<void(std::size_t upstream, const balancer::Backend*)> handler);

    struct Bound {
        std::string listener;
        Endpoint address;
    };
    [[nodiscard]] const std::vector<Bound>& bound() const noexcept { return bound_; }
    [[nodiscard]] std::uint64_t connections() const noexcept { return shared_.connections.used(); }
    /// `1,204 connections: 1,200 completed, 4 client_reset; ...`, for the log.
    [[nodiscard]] std::string summary() const;

private:
    Server(const config::Config& config, const Options& options, Logger& log);
    std::expected<void, std::string> open_sockets();
    void make_workers();
    [[nodiscard]] std::string gates_summary() const;
    [[nodiscard]] std::string upstreams_summary() const;
    /// Sends `function` to every worker; calls `done` on the last one.
    template <typename F>
    void on_each_worker(F function, std::function<void()> done);

    config::Config config_;
    Options options_;
    proxy::WorkersShared shared_;
    std::vector<net::ListenGroup> groups_;
    std::vector<std::shared_ptr<proxy::ListenerShared>> listeners_;
    std::vector<std::shared_ptr<proxy::UpstreamShared>> upstreams_;
    std::vector<std::shared_ptr<const proxy::AccessPolicy>> access_;  // of each listener, now
    std::vector<std::vector<int>> listening_;  // descriptors of the workers' sockets, by listener
    bool accepting_ = false;
    std::vector<Bound> bound_;
    std::unique_ptr<proxy::LogWriter> log_writer_;
    std::vector<std::unique_ptr<proxy::Worker>> workers_;
    std::vector<std::thread> threads_;
};

}  // namespace penstock::app
