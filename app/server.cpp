#include "app/server.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "app/process.hpp"
#include "base/random.hpp"

namespace penstock::app {

Server::Server(ConfigPtr config, Options options, Logger& log)
    : config_(std::move(config)),
      options_(std::move(options)),
      log_(log),
      shared_(options_.workers, options_.max_connections, entropy(), log),
      sockets_(options_.workers) {}

Server::~Server() {
    withdraw();
    join();
}

std::expected<std::unique_ptr<Server>, std::string> Server::open(ConfigPtr config, Options options,
                                                                 Logger& log) {
    std::unique_ptr<Server> server(new Server(std::move(config), std::move(options), log));
    auto sockets = server->sockets_.open(*server->config_, server->options_.inherited);
    if (!sockets) return std::unexpected(sockets.error());
    for (const auto& warning : sockets->warnings) log.warn("{}", warning);
    server->first_sockets_ = *std::move(sockets);
    auto writer = server->open_log(*server->config_);
    if (!writer) return std::unexpected(writer.error());
    server->log_writer_ = *std::move(writer);
    server->make_workers();
    return server;
}

std::expected<std::unique_ptr<proxy::LogWriter>, std::string> Server::open_log(
    const config::Config& config) const {
    if (config.access_log.target == "off") return nullptr;
    auto sink = proxy::LogSink::open(config.access_log.target);
    if (!sink) return std::unexpected(sink.error());
    return std::make_unique<proxy::LogWriter>(*std::move(sink), log_);
}

void Server::make_workers() {
    for (unsigned i = 0; i < options_.workers; ++i) {
        const proxy::WorkerOptions options{i, options_.buffer_cap_bytes / options_.workers,
                                           config_->access_log};
        workers_.push_back(std::make_unique<proxy::Worker>(shared_, options, log_writer_.get()));
        shared_.workers.push_back(workers_.back().get());
    }
    Change first{.config = config_,
                 .max_connections = options_.max_connections,
                 .access = options_.access,
                 .tls = options_.tls};
    for (std::size_t i = 0; i < config_->upstreams.size(); ++i) {
        // Instances that shall choose alike can be compared by it.
        const auto& name = config_->upstreams[i].name;
        if (const auto& set = *options_.first[i]->set; set.hash_checksum() != 0)
            log_.info("upstream {}: hash table of {} backends, checksum {:016x}", name, set.size(),
                      set.hash_checksum());
        first.snapshots.emplace(name, options_.first[i]);
    }
    auto updates = take(first, config::Config{});
    for (std::size_t i = 0; i < workers_.size(); ++i) workers_[i]->apply(std::move(updates[i]));
    options_.access.clear();
    options_.tls = {};
    options_.first.clear();
}

std::expected<void, std::string> Server::start() {
    if (auto listening = ListeningSockets::listen(first_sockets_, *config_); !listening)
        return listening;
    static_cast<void>(sockets_.adopt(std::exchange(first_sockets_, {}), *config_));
    for (std::size_t i = 0; i < workers_.size(); ++i)
        workers_[i]->take_sockets(sockets_.update_for(i, *config_));
    sockets_.settle();
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
        std::move(done));
}

void Server::let_go(std::function<void()> done) {
    accepting_ = false;
    on_each_worker(
        [](proxy::Worker& worker, const std::function<void()>& finished) {
            worker.let_go();
            finished();
        },
        std::move(done));
}

void Server::withdraw() { ListeningSockets::withdraw(first_sockets_); }

void Server::drain(const proxy::DrainPlan& plan, std::function<void()> done) {
    on_each_worker([plan](proxy::Worker& worker,
                          const std::function<void()>& finished) { worker.drain(plan, finished); },
                   std::move(done));
}

void Server::hasten(const proxy::DrainPlan& plan) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, plan] {
            worker.add_drain(proxy::SessionDrain({}, plan, CloseReason::drained));
        });
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
}

bool Server::end_logs(TimePoint deadline) {
    // It may be about to finish one of the old ones.
    bool all = log_ender_.end(deadline);
    if (log_writer_) all = log_writer_->finish(deadline) && all;
    if (all)
        for (const auto& log : old_logs_) all = log->writer->finish(deadline) && all;
    return all;
}

void Server::pause(std::size_t upstream, bool paused) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, of = upstreams_[upstream], paused] { worker.pause(*of, paused); });
}

void Server::set_split(std::size_t listener, const std::vector<std::uint32_t>& weights) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, account = listeners_[listener]->account, weights] {
            worker.set_split(*account, weights);
        });
}

net::AcceptQueueInfo Server::accept_queue(std::size_t listener) const noexcept {
    if (!accepting_) return {0, 0};  // the workers may have closed them
    return sockets_.queue(config_->listeners[listener].name);
}

std::vector<Server::Bound> Server::bound() const {
    std::vector<Bound> all;
    for (const auto& listener : config_->listeners)
        for (const Endpoint& address : sockets_.bound(listener.name))
            all.push_back({listener.name, address});
    return all;
}

std::uint64_t Server::log_lines_written() const noexcept {
    std::uint64_t sum = old_lines_written_ + (log_writer_ ? log_writer_->lines_written() : 0);
    for (const auto& log : old_logs_) sum += log->writer->lines_written();
    return sum;
}

std::uint64_t Server::log_lines_lost() const noexcept {
    std::uint64_t sum = old_lines_lost_ + (log_writer_ ? log_writer_->lines_lost() : 0);
    for (const auto& log : old_logs_) sum += log->writer->lines_lost();
    return sum;
}

void Server::set_access(const std::string& listener,
                        std::shared_ptr<const proxy::AccessPolicy> policy) {
    const auto found = std::ranges::find(config_->listeners, listener, &config::Listener::name);
    if (found == config_->listeners.end()) return;  // it has left
    const auto index = static_cast<std::size_t>(found - config_->listeners.begin());
    access_[index] = policy;
    for (auto& worker : workers_)
        worker->send([&worker = *worker, account = listeners_[index]->account, policy] {
            worker.set_access(*account, policy);
        });
}

void Server::set_tls(const std::string& listener,
                     const std::shared_ptr<const net::tls::ServerContext>& context) {
    const auto found = known_listeners_.find(listener);
    if (found == known_listeners_.end()) return;
    for (auto& worker : workers_)
        worker->send([&worker = *worker, account = found->second.shared, context] {
            worker.set_tls(*account, context);
        });
}

void Server::set_upstream_tls(const std::string& upstream,
                              const std::shared_ptr<const net::tls::ClientContext>& context) {
    const auto found = known_upstreams_.find(upstream);
    if (found == known_upstreams_.end()) return;
    for (auto& worker : workers_)
        worker->send([&worker = *worker, shared = found->second.shared, context] {
            worker.set_tls(*shared, context);
        });
}

void Server::publish(const std::shared_ptr<proxy::UpstreamShared>& upstream,
                     const proxy::SnapshotPtr& snapshot) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, upstream, snapshot] { worker.adopt(*upstream, snapshot); });
}

void Server::end_sessions(const health::EndSessions& which, const config::Drain& drain) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, which, drain] { worker.end_sessions(which, drain); });
}

void Server::keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                           health::EndCause cause) {
    for (auto& worker : workers_)
        worker->send(
            [&worker = *worker, backend, cause] { worker.keep_sessions(*backend, cause); });
}

void Server::save_memory(bool is_short) {
    for (auto& worker : workers_)
        worker->send([&worker = *worker, is_short] { worker.save_memory(is_short); });
}

void Server::reopen_access_log() {
    if (!log_writer_) return;
    for (auto& worker : workers_) worker->send([&worker = *worker] { worker.log().flush(); });
    log_writer_->reopen();
}

}  // namespace penstock::app
