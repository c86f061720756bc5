#pragma once

#include <csignal>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "base/log.hpp"
#include "net/listen_socket.hpp"
#include "proxy/figures.hpp"
#include "proxy/worker.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::proxy {

struct SilentLog final : Logger {
    [[nodiscard]] bool enabled(LogLevel) const noexcept override { return false; }
    void write(LogLevel, std::string_view) override {}
};

/// How a connection ended.
enum class End { fin, reset, nothing };

inline End end_of(const net::UniqueFd& fd) {
    char bytes[64];
    ssize_t n;
    do n = ::recv(fd.get(), bytes, sizeof bytes, 0);
    while (n > 0);
    if (n == 0) return End::fin;
    return errno == ECONNRESET ? End::reset : End::nothing;
}

/// A byte from one end comes out at the other.
inline bool arrives(const net::UniqueFd& from, const net::UniqueFd& to) {
    net::say(from, "x");
    char byte = 0;
    return ::recv(to.get(), &byte, 1, 0) == 1;
}

/// One worker on a thread of its own, with one listener in front of one backend, or several, that
/// the test plays. Further workers accept nobody, and serve whom they are handed.
class RunningWorker {
public:
    explicit RunningWorker(config::Listener listener = {}, config::Upstream upstream_settings = {},
                           std::size_t backends = 1,
                           std::shared_ptr<const net::tls::ServerContext> tls = nullptr,
                           std::size_t workers = 1)
        : settings(std::move(upstream_settings)), shared(workers, 20000, 1, log) {
        std::signal(SIGPIPE, SIG_IGN);  // as the program does: splice() raises it
        for (std::size_t i = 0; i < backends; ++i) add_backend(std::string(1, "bcdef"[i]));
        settings.name = "up";
        listener.name = "web";
        listener.upstream = "up";
        first = std::make_shared<const balancer::Snapshot>(make_set(all));
        upstream = std::make_shared<UpstreamShared>(settings, workers);
        web = std::make_shared<ListenerShared>(listener, workers);
        web->tls = std::move(tls);
        shared.workers.push_back(&worker);
        auto front = net::open_listen_group(loopback(), 1);
        net::start_listening(*front, 4096).value();
        address_ = front->sockets[0].bound();
        WorkerUpdate update = first_update(0);
        socket_ = front->sockets[0].fd();
        update.sockets.push_back({socket_, 0, front->sockets[0].take_fd()});
        worker.apply(std::move(update));
        for (unsigned i = 1; i < workers; ++i) {
            others.push_back(std::make_unique<Worker>(
                shared, WorkerOptions{i, std::size_t{64} << 20, {}}, nullptr));
            others.back()->apply(first_update(i));
            shared.workers.push_back(others.back().get());
        }
        for (Worker* each : shared.workers) threads_.emplace_back([each] { each->run(); });
    }
    ~RunningWorker() {
        for (Worker* each : shared.workers) each->send([each] { each->stop(); });
        for (auto& thread : threads_) thread.join();
    }

    /// Runs `function` on the worker and returns its result.
    template <typename F>
    auto on_worker(F function) {
        return on(worker, std::move(function));
    }
    template <typename F>
    static auto on(Worker& which, F function) {
        std::packaged_task<decltype(function())()> task(std::move(function));
        auto result = task.get_future();
        which.send([&task] { task(); });
        return result.get();
    }

    [[nodiscard]] net::UniqueFd connect() const { return connect_to(address_); }
    [[nodiscard]] static net::UniqueFd connect_to(const Endpoint& to) {
        net::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_storage raw;
        const auto length = to.to_sockaddr(raw);
        net::require(::connect(fd.get(), reinterpret_cast<sockaddr*>(&raw), length) == 0,
                     "connect");
        const timeval limit{20, 0};
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return fd;
    }
    [[nodiscard]] net::UniqueFd accept_backend(std::size_t i = 0) const {
        const int from = backend_listeners.at(i).get();
        pollfd wait{from, POLLIN, 0};
        ::poll(&wait, 1, 20'000);
        return net::UniqueFd(::accept4(from, nullptr, nullptr, SOCK_CLOEXEC));
    }
    /// Another server; part of no set yet.
    std::shared_ptr<balancer::Backend> add_backend(const std::string& name) {
        auto group = net::open_listen_group(loopback(), 1);
        net::start_listening(*group, 4096).value();
        const Endpoint address = group->sockets[0].bound();
        backend_listeners.push_back(group->sockets[0].take_fd());
        return all.emplace_back(std::make_shared<balancer::Backend>(
            "up", name, address, balancer::BackendLimits{}, shared.loads.size()));
    }
    using Backends = std::vector<std::shared_ptr<balancer::Backend>>;
    [[nodiscard]] static std::shared_ptr<const balancer::BackendSet> make_set(
        const Backends& backends) {
        std::vector<balancer::BackendEntry> entries;
        for (const auto& backend : backends) entries.push_back({backend});
        return std::make_shared<const balancer::BackendSet>(std::move(entries));
    }
    /// Health publishes.
    void adopt(std::shared_ptr<const balancer::Snapshot> snapshot) {
        on_worker([&] {
            worker.adopt(*upstream, std::move(snapshot));
            return 0;
        });
    }
    /// Waits until `holds`, asked on the worker, is true; false after twenty seconds.
    template <typename Condition>
    bool wait_until(Condition holds) {
        const auto end = SteadyClock().now() + std::chrono::seconds(20);
        while (!on_worker(holds)) {
            if (SteadyClock().now() > end) return false;
            ::poll(nullptr, 0, 1);
        }
        return true;
    }
    /// Waits until the worker holds `count` sessions.
    bool wait_for_sessions(std::size_t count) {
        return wait_until([this, count] { return worker.sessions() == count; });
    }
    /// Health says so of the only backend.
    void set_available(bool available) {
        auto snapshot = std::make_shared<balancer::Snapshot>(first->set);
        if (!available) snapshot->views[0].available.reset(0);
        adopt(std::move(snapshot));
    }
    std::uint64_t closed(CloseReason reason) {
        return listener_figures(*web->account).closed_by(reason);
    }

    /// Changes nothing: names what the worker has.
    [[nodiscard]] WorkerUpdate as_it_is() const {
        WorkerUpdate update;
        update.upstreams.push_back({.shared = upstream});
        update.listeners.push_back({web, {0}});
        update.sockets.push_back({.fd = socket_, .listener = 0});
        return update;
    }
    /// Another configuration; returns once the worker goes by it.
    void apply(WorkerUpdate update) {
        on_worker([&] {
            worker.apply(std::move(update));
            worker.let_leave();
            return 0;
        });
    }

    config::Upstream settings;
    SilentLog log;
    WorkersShared shared;
    Worker worker{shared, {0, 64U << 20, {}}, nullptr};
    std::vector<std::unique_ptr<Worker>> others;
    std::vector<net::UniqueFd> backend_listeners;
    Backends all;
    std::shared_ptr<UpstreamShared> upstream;
    std::shared_ptr<ListenerShared> web;
    SnapshotPtr first;

private:
    static Endpoint loopback() { return Endpoint::ipv4({127, 0, 0, 1}, 0); }
    [[nodiscard]] WorkerUpdate first_update(unsigned of) const {
        WorkerUpdate update;
        update.upstreams.push_back(
            {upstream,
             new UpstreamContext(upstream, std::make_shared<const config::Upstream>(settings),
                                 first, of, 1)});
        update.listeners.push_back({web, {0}});
        return update;
    }

    Endpoint address_;
    int socket_ = -1;
    std::vector<std::thread> threads_;
};

}  // namespace penstock::proxy
