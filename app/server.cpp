#include "app/server.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "app/limits.hpp"
#include "app/process.hpp"
#include "base/random.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {

namespace {

constexpr std::size_t fewest_sources = std::size_t{1} << 13;
constexpr std::size_t most_sources = std::size_t{1} << 18;  // 11 MiB per listener, if all are used

}  // namespace

Server::Server(const config::Config& config, const Options& options, Logger& log)
    : config_(config),
      options_(options),
      shared_(options.workers, options.max_connections, entropy(), log) {
    shared_.hash_seed = config.process.hash_seed;
}

Server::~Server() { join(); }

std::expected<std::unique_ptr<Server>, std::string> Server::open(const config::Config& config,
                                                                 const Options& options,
                                                                 Logger& log) {
    std::unique_ptr<Server> server(new Server(config, options, log));
    if (auto opened = server->open_sockets(); !opened) return std::unexpected(opened.error());
    if (config.access_log.target != "off") {
        auto sink = proxy::LogSink::open(config.access_log.target);
        if (!sink) return std::unexpected(sink.error());
        server->log_writer_ = std::make_unique<proxy::LogWriter>(*std::move(sink), log);
    }
    server->make_workers();
    return server;
}

std::expected<void, std::string> Server::open_sockets() {
    for (const auto& listener : config_.listeners) {
        for (const auto& bind : listener.bind) {
            if (bind.inherited())
                return std::unexpected(
                    fmt::format("listener {}: {}: not handed over; this version takes no sockets "
                                "from outside",
                                listener.name, bind.to_string()));
            auto group = net::open_listen_group(bind.address, options_.workers);
            if (!group)
                return std::unexpected(
                    fmt::format("listener {}: {}", listener.name, group.error().message));
            bound_.push_back({listener.name, group->sockets.front().bound()});
            groups_.push_back(*std::move(group));
        }
    }
    return {};
}

void Server::make_workers() {
    for (std::size_t i = 0; i < config_.upstreams.size(); ++i) {
        const auto& upstream = config_.upstreams[i];
        const auto& backends = *options_.first[i]->set;
        // Instances that shall choose alike can be compared by it.
        if (backends.hash_checksum() != 0)
            shared_.log.info("upstream {}: hash table of {} backends, checksum {:016x}",
                             upstream.name, backends.size(), backends.hash_checksum());
        upstreams_.push_back(
            std::make_shared<proxy::UpstreamShared>(upstream, options_.first[i], options_.workers));
    }
    // Enough for every connection to come from a source of its own.
    const balancer::SourceTable::Size sources{
        .sources =
            std::clamp<std::size_t>(options_.max_connections * 2, fewest_sources, most_sources)};
    for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
        const auto& listener = listeners_.emplace_back(std::make_shared<proxy::ListenerShared>(
            config_.listeners[i], options_.workers, sources));
        listener->access = proxy::AccessPolicy::make(listener->settings, options_.access[i]);
        access_.push_back(listener->access);
    }
    for (unsigned i = 0; i < options_.workers; ++i) {
        const proxy::WorkerOptions options{i, options_.buffer_cap_bytes / options_.workers,
                                           config_.access_log};
        workers_.push_back(std::make_unique<proxy::Worker>(shared_, options, log_writer_.get()));
        shared_.workers.push_back(workers_.back().get());
        workers_.back()->configure(upstreams_, listeners_);
    }
    // Backends that leave shall not be kept by what was at the start.
    for (const auto& upstream : upstreams_) upstream->first.reset();
    options_.first.clear();
}

std::expected<void, std::string> Server::start() {
    std::size_t group = 0;
    listening_.resize(config_.listeners.size());
    for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
        for (std::size_t b = 0; b < config_.listeners[i].bind.size(); ++b, ++group) {
            const auto backlog = static_cast<int>(config_.listeners[i].backlog);
            if (auto listening = net::start_listening(groups_[group], backlog); !listening)
                return std::unexpected(listening.error().message);
            auto& sockets = groups_[group].sockets;
            for (std::size_t w = 0; w < sockets.size(); ++w) {
                listening_[i].push_back(sockets[w].fd());
                workers_[w]->add_socket(i, sockets[w].take_fd());
            }
        }
    }
    for (auto& worker : workers_)
        threads_.emplace_back([&worker = *worker] {
            block_signals();
            worker.run();
        });
    accepting_ = true;
    return {};
}

template <typename F>
void Server::on_each_worker(F function, std::function<void()> done) {
    auto left = std::make_shared<std::atomic<std::size_t>>(workers_.size());
    auto finished = [left, done = std::move(done)] {
        if (left->fetch_sub(1) == 1) done();
    };
    for (auto& worker : workers_)
        worker->send([&worker = *worker, function, finished] { function(worker, finished); });
}

void Server::stop_accepting(std::function<void()> done) {
    accepting_ = false;
    on_each_worker(
        [](proxy::Worker& worker, const std::function<void()>& finished) {
            worker.stop_accepting();
            finished();
        },
        [this, done = std::move(done)] {
            withdraw();
            done();
        });
}

void Server::withdraw() {
    for (const auto& group : groups_) net::remove_unix_path(group);
}

void Server::drain(const proxy::DrainPlan& plan, std::function<void()> done) {
    on_each_worker([plan](proxy::Worker& worker,
                          const std::function<void()>& finished) { worker.drain(plan, finished); },
                   std::move(done));
}

void Server::abort_all() {
    for (auto& worker : workers_)
        worker->send([&worker = *worker] { worker.abort_all(CloseReason::drained); });
}

void Server::join() {
    for (std::size_t i = 0; i < threads_.size(); ++i)
        workers_[i]->send([&worker = *workers_[i]] { worker.stop(); });
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    if (log_writer_) log_writer_->finish();
}

void Server::pause(std::size_t upstream, bool paused) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, of = upstreams_[upstream], paused] { worker.pause(*of, paused); });
}

void Server::set_split(std::size_t listener, const std::vector<std::uint32_t>& weights) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, listener, weights] { worker.set_split(listener, weights); });
}

net::AcceptQueueInfo Server::accept_queue(std::size_t listener) const noexcept {
    net::AcceptQueueInfo sum{0, 0};
    if (!accepting_) return sum;  // the workers may have closed them
    for (const int fd : listening_[listener])
        if (const auto queue = net::accept_queue(fd)) {
            sum.length += queue->length;
            sum.limit += queue->limit;
        }
    return sum;
}

void Server::set_access(std::size_t listener, std::shared_ptr<const proxy::AccessPolicy> policy) {
    access_[listener] = policy;
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, listener, policy] { worker.set_access(listener, policy); });
}

void Server::publish(std::size_t upstream, const proxy::SnapshotPtr& snapshot) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, of = upstreams_[upstream], snapshot] {
            worker.adopt(*of, snapshot);
        });
}

void Server::end_sessions(std::size_t upstream, const health::EndSessions& which) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, of = upstreams_[upstream], which] {
            worker.end_sessions(*of, which);
        });
}

void Server::keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                           health::EndCause cause) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, backend, cause] { worker.keep_sessions(*backend, cause); });
}

void Server::on_alarm(std::function<void(std::size_t, const balancer::Backend*)> handler) {
    shared_.on_alarm = [this, handler = std::move(handler)](const proxy::UpstreamShared& upstream,
                                                            const balancer::Backend& backend) {
        for (std::size_t i = 0; i < upstreams_.size(); ++i)
            if (upstreams_[i].get() == &upstream) handler(i, &backend);
    };
}

void Server::reopen_access_log() {
    if (!log_writer_) return;
    for (auto& worker : workers_) worker->send([&worker = *worker] { worker.log().flush(); });
    log_writer_->reopen();
}

std::string Server::summary() const {
    std::uint64_t accepted = 0;
    std::uint64_t log_lost = log_writer_ ? log_writer_->lines_lost() : 0;
    std::uint64_t suppressed = 0;
    std::array<std::uint64_t, close_reason_count> closed{};
    for (const auto& worker : workers_) {
        log_lost += worker->cells().log_dropped.value();
        suppressed += worker->cells().log_suppressed.value();
    }
    for (std::size_t l = 0; l < listeners_.size(); ++l) {
        const auto figures = proxy::listener_figures(workers_, l);
        accepted += figures.totals.accepted;
        for (std::size_t i = 0; i < closed.size(); ++i)
            closed[i] += figures.closed_by(static_cast<CloseReason>(i));
    }
    std::string text = with_commas(accepted) + " connections";
    for (std::size_t i = 0; i < closed.size(); ++i)
        if (closed[i] != 0)
            text += fmt::format(", {} {}", with_commas(closed[i]),
                                name_of(static_cast<CloseReason>(i)));
    text += gates_summary() + upstreams_summary();
    if (log_writer_)
        text += fmt::format("; access log: {} lines written, {} lost, {} suppressed",
                            with_commas(log_writer_->lines_written()), with_commas(log_lost),
                            with_commas(suppressed));
    return text;
}

// `; listener web: 3 accept errors, would refuse 12 denied`; nothing of listeners without such
// events.
std::string Server::gates_summary() const {
    std::string text;
    for (std::size_t l = 0; l < listeners_.size(); ++l) {
        std::string events;
        const auto add = [&](std::uint64_t n, std::string_view what) {
            if (n != 0)
                events += fmt::format("{}{} {}", events.empty() ? "" : ", ", with_commas(n), what);
        };
        const auto totals = proxy::listener_figures(workers_, l).totals;
        const auto& errors = totals.accept_errors;
        const auto& let_pass = totals.let_pass;
        add(std::accumulate(errors.begin(), errors.end(), std::uint64_t{0}), "accept errors");
        add(listeners_[l]->gate.source_overflows(), "sources without an account");
        for (std::size_t i = 0; i < let_pass.size(); ++i)
            add(let_pass[i],
                fmt::format("{} let pass by a dry run", name_of(static_cast<CloseReason>(i))));
        if (!events.empty())
            text += fmt::format("; listener {}: {}", config_.listeners[l].name, events);
    }
    std::uint64_t pauses = 0;
    for (const auto& worker : workers_) pauses += worker->cells().accept_pauses.value();
    if (pauses != 0) text += fmt::format("; accepting paused {} times", with_commas(pauses));
    return text;
}

// `; upstream db: 12 queued, 3 retries`; nothing of upstreams without such events.
std::string Server::upstreams_summary() const {
    struct Row {
        std::string_view name;
        std::uint64_t metrics::UpstreamTotals::* counter;
    };
    using Cells = metrics::UpstreamTotals;
    static constexpr Row rows[] = {{"queued", &Cells::queued},
                                   {"held", &Cells::held},
                                   {"retries", &Cells::retries},
                                   {"retries over budget", &Cells::retries_denied},
                                   {"times no local port", &Cells::no_port},
                                   {"warm connections used", &Cells::warm_used},
                                   {"given up", &Cells::warm_given_up},
                                   {"failed", &Cells::warm_failed}};
    std::string text;
    for (std::size_t u = 0; u < config_.upstreams.size(); ++u) {
        std::string events;
        const auto totals = proxy::upstream_totals(workers_, u);
        for (const auto& [name, counter] : rows) {
            if (const std::uint64_t sum = totals.*counter; sum != 0)
                events +=
                    fmt::format("{}{} {}", events.empty() ? "" : ", ", with_commas(sum), name);
        }
        if (!events.empty())
            text += fmt::format("; upstream {}: {}", config_.upstreams[u].name, events);
    }
    return text;
}

}  // namespace penstock::app
