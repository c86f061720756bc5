// A worker that serves goes by another configuration.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "metrics/totals.hpp"
#include "proxy/access_log/writer.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/proxy/running_worker.hpp"

namespace penstock::proxy {
namespace {

using namespace std::chrono_literals;
using net::UniqueFd;

config::Listener idle_for(Duration idle) {
    config::Listener listener;
    listener.timeouts.idle = idle;
    return listener;
}

/// The listener of that worker with other settings.
std::shared_ptr<ListenerShared> follow(const RunningWorker& running, config::Listener settings,
                                       const std::string& upstream = "up") {
    settings.name = "web";
    settings.upstream = upstream;
    auto next = std::make_shared<ListenerShared>(std::move(settings), running.web->account,
                                                 balancer::SourceTable::Size{}, running.web.get());
    next->gate.take_effect();
    return next;
}

/// Another listener, in front of the same upstream.
std::shared_ptr<ListenerShared> other_listener(const std::string& name) {
    config::Listener settings;
    settings.name = name;
    settings.upstream = "up";
    return std::make_shared<ListenerShared>(settings, 1);
}

/// A client with its connection to the backend.
struct Pair {
    explicit Pair(RunningWorker& running)
        : client(running.connect()), server(running.accept_backend()) {}
    [[nodiscard]] bool works() const { return arrives(client, server) && arrives(server, client); }
    UniqueFd client;
    UniqueFd server;
};

TEST(Apply, what_is_the_same_is_left_alone) {
    RunningWorker running;
    const Pair pair(running);
    const auto seen = [&] {
        return running.on_worker([&] {
            return std::pair<const void*, const void*>(running.worker.listeners()[0].get(),
                                                       running.worker.upstreams()[0].get());
        });
    };
    const auto before = seen();
    for (int i = 0; i < 3; ++i) running.apply(running.as_it_is());
    EXPECT_EQ(seen(), before);
    EXPECT_TRUE(pair.works());
    EXPECT_TRUE(Pair(running).works());
}

TEST(Apply, a_session_keeps_the_time_outs_that_it_came_in_with) {
    RunningWorker running(idle_for(1h));
    const Pair old(running);
    ASSERT_TRUE(old.works());
    WorkerUpdate update = running.as_it_is();
    update.listeners[0].shared = follow(running, idle_for(100ms));
    running.apply(std::move(update));
    const Pair fresh(running);
    EXPECT_NE(end_of(fresh.client), End::nothing);
    ASSERT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(CloseReason::idle_timeout), 1U);
    EXPECT_TRUE(old.works()) << "it has been idle for longer";
}

TEST(Apply, counters_of_a_listener_go_on) {
    RunningWorker running;
    {
        const Pair first(running);
    }
    ASSERT_TRUE(running.wait_for_sessions(0));
    WorkerUpdate update = running.as_it_is();
    update.listeners[0].shared = follow(running, idle_for(2h));
    running.apply(std::move(update));
    const Pair second(running);
    ASSERT_TRUE(second.works());
    const auto figures = listener_figures(*running.web->account);
    EXPECT_EQ(figures.totals.accepted, 2U);
    EXPECT_EQ(running.web->account->connections.used(), 1U);
    ASSERT_EQ(figures.routes.size(), 1U);
}

// The upstream goes, and its listener serves nobody any more.
WorkerUpdate without_upstream(const RunningWorker& running) {
    WorkerUpdate update = running.as_it_is();
    update.upstreams.clear();
    update.listeners[0] = {follow(running, {}, ""), {}};
    return update;
}

TEST(Apply, who_waits_for_an_upstream_that_leaves_is_refused_and_its_sessions_go_on) {
    config::Upstream upstream;
    upstream.max_connections = 1;
    upstream.queue.timeout = 1h;
    RunningWorker running({}, upstream);
    const Pair served(running);
    const UniqueFd queued = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return running.upstream->anybody_waits(); }));
    running.apply(without_upstream(running));
    EXPECT_EQ(end_of(queued), End::reset);
    EXPECT_EQ(end_of(running.connect()), End::reset);  // a new one
    ASSERT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(CloseReason::no_backend), 1U);
    EXPECT_EQ(running.closed(CloseReason::no_route), 1U);
    EXPECT_FALSE(running.upstream->occupied());
    ASSERT_TRUE(served.works());
    // And ends with the drain of those who left.
    running.on_worker([&] {
        running.worker.end_sessions(
            {.backend = running.all[0], .cause = health::EndCause::removed, .at_once = true},
            running.settings.drain);
        return 0;
    });
    EXPECT_NE(end_of(served.client), End::nothing);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::backend_removed), 1U);
    EXPECT_EQ(running.upstream->connections.used(), 0U);
}

TEST(Apply, who_is_held_for_an_upstream_that_leaves_is_refused) {
    for (const bool paused : {false, true}) {
        config::Upstream upstream;
        upstream.no_backend = config::NoBackend::hold;
        upstream.hold.timeout = 1h;
        RunningWorker running({}, upstream);
        if (paused)
            running.on_worker([&] {
                running.worker.pause(*running.upstream, true);
                return 0;
            });
        else
            running.set_available(false);
        const UniqueFd held = running.connect();
        ASSERT_TRUE(running.wait_until([&] { return running.upstream->held.used() == 1; }));
        running.apply(without_upstream(running));
        EXPECT_EQ(end_of(held), End::reset) << paused;
        ASSERT_TRUE(running.wait_for_sessions(0));
        EXPECT_EQ(running.closed(CloseReason::no_backend), 1U) << paused;
        EXPECT_EQ(running.upstream->held.used(), 0U);
    }
}

TEST(Apply, an_upstream_of_the_same_name_that_comes_back_serves_its_listener) {
    RunningWorker running;
    running.apply(without_upstream(running));
    WorkerUpdate update = running.as_it_is();
    update.upstreams[0].fresh = new UpstreamContext(
        running.upstream, std::make_shared<const config::Upstream>(running.settings), running.first,
        0, 1);
    running.apply(std::move(update));
    EXPECT_TRUE(Pair(running).works());
}

TEST(Apply, who_waits_gets_what_a_higher_limit_allows) {
    config::Upstream upstream;
    upstream.max_connections = 1;
    upstream.queue.timeout = 1h;
    RunningWorker running({}, upstream);
    const Pair served(running);
    const UniqueFd queued = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return running.upstream->anybody_waits(); }));
    running.settings.max_connections = 2;
    running.upstream->configure(running.settings);
    WorkerUpdate update = running.as_it_is();
    update.upstreams[0].changed = std::make_shared<const config::Upstream>(running.settings);
    update.upstreams[0].snapshot = running.first;
    running.apply(std::move(update));
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(server);
    EXPECT_TRUE(arrives(queued, server));
    EXPECT_TRUE(served.works());
}

TEST(Apply, a_pool_comes_changes_and_goes_with_its_settings) {
    RunningWorker running;
    const auto change = [&](std::uint32_t min_idle) {
        running.settings.pool.min_idle = min_idle;
        WorkerUpdate update = running.as_it_is();
        update.upstreams[0].changed = std::make_shared<const config::Upstream>(running.settings);
        update.upstreams[0].snapshot = running.first;
        running.apply(std::move(update));
    };
    const auto warm = [&](std::uint32_t count) {
        return running.wait_until([&] { return running.upstream->warm.at(0) == count; });
    };
    change(2);
    const UniqueFd first = running.accept_backend();
    const UniqueFd second = running.accept_backend();
    EXPECT_TRUE(warm(2));
    change(2);  // the same
    EXPECT_TRUE(warm(2));
    change(0);
    EXPECT_TRUE(warm(0));
    EXPECT_EQ(end_of(first), End::fin);
    EXPECT_EQ(end_of(second), End::fin);
    EXPECT_EQ(running.all[0]->slots().used(), 0U);
    EXPECT_TRUE(Pair(running).works());
}

TEST(Apply, a_listener_that_leaves_closes_its_socket_and_its_sessions_drain) {
    RunningWorker running;
    const Pair pair(running);
    ASSERT_TRUE(pair.works());
    WorkerUpdate update = running.as_it_is();
    update.listeners.clear();
    update.sockets.clear();
    running.apply(std::move(update));
    EXPECT_THROW(running.connect(), std::system_error);
    EXPECT_TRUE(pair.works());
    running.on_worker([&] {
        running.worker.add_drain(SessionDrain({.listener = running.web->account, .upstream = "up"},
                                              DrainPlan(running.worker.loop().now(), {}, {}),
                                              CloseReason::drained));
        return 0;
    });
    EXPECT_NE(end_of(pair.client), End::nothing);
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(CloseReason::drained), 1U);
    EXPECT_EQ(running.web->account->connections.used(), 0U);
}

// On one wheel the drain would have been due long before the idle time-out of the other session.
TEST(Apply, a_listener_that_comes_back_in_time_keeps_its_sessions) {
    RunningWorker running;
    const Pair pair(running);
    ASSERT_TRUE(pair.works());
    running.on_worker([&] {
        running.worker.add_drain(SessionDrain({.listener = running.web->account, .upstream = "up"},
                                              DrainPlan(running.worker.loop().now(), 50ms, {}),
                                              CloseReason::drained));
        WorkerUpdate update = running.as_it_is();
        update.listeners[0].shared = follow(running, idle_for(200ms));
        running.worker.apply(std::move(update));
        return 0;
    });
    const Pair fresh(running);
    EXPECT_NE(end_of(fresh.client), End::nothing);
    ASSERT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(CloseReason::drained), 0U);
    EXPECT_TRUE(pair.works());
}

// Its address is in another listener of the file now.
TEST(Apply, a_socket_that_goes_to_another_listener_keeps_its_queue) {
    config::Listener full;
    full.max_connections = 1;
    full.on_limit = config::OnLimit::wait;
    RunningWorker running(full);
    const Pair served(running);
    ASSERT_TRUE(served.works());
    const UniqueFd queued = running.connect();  // in the kernel's queue
    ASSERT_EQ(running.worker.sessions(), 1U);
    WorkerUpdate update = running.as_it_is();
    const auto other = other_listener("other");
    update.listeners[0].shared = other;
    running.apply(std::move(update));
    const UniqueFd server = running.accept_backend();
    ASSERT_TRUE(server);
    EXPECT_TRUE(arrives(queued, server));
    EXPECT_TRUE(served.works());
    EXPECT_EQ(listener_figures(*other->account).totals.accepted, 1U);
    EXPECT_EQ(other->account->connections.used(), 1U);
    EXPECT_EQ(running.web->account->connections.used(), 1U);
}

TEST(Apply, a_fresh_socket_is_served_beside_the_old_one) {
    RunningWorker running;
    auto group = net::open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(net::start_listening(*group, 16));
    const Endpoint address = group->sockets[0].bound();
    WorkerUpdate update = running.as_it_is();
    const auto other = other_listener("other");
    update.listeners.push_back({other, {0}});
    const int fd = group->sockets[0].fd();
    update.sockets.push_back({fd, 1, group->sockets[0].take_fd()});
    running.apply(std::move(update));
    const UniqueFd client = RunningWorker::connect_to(address);
    const UniqueFd server = running.accept_backend();
    EXPECT_TRUE(arrives(client, server));
    EXPECT_EQ(listener_figures(*other->account).totals.accepted, 1U);
    EXPECT_TRUE(Pair(running).works());
}

TEST(Apply, lists_of_peers_go_on_while_the_listener_is_the_same) {
    RunningWorker running;
    config::Listener nobody;
    nobody.deny.prefixes.push_back(Prefix::parse("127.0.0.0/8").value());
    running.on_worker([&] {
        running.worker.set_access(*running.web->account, AccessPolicy::make(nobody, {}));
        return 0;
    });
    running.apply(running.as_it_is());
    EXPECT_EQ(end_of(running.connect()), End::reset);
    EXPECT_EQ(running.closed(CloseReason::denied), 1U);
}

std::size_t lines_in(const std::string& file) {
    std::ifstream in(file);
    std::size_t count = 0;
    for (std::string line; std::getline(in, line);) ++count;
    return count;
}

TEST(Apply, the_access_log_goes_to_another_file_and_no_line_is_lost) {
    const test::TempDir directory;
    SilentLog log;
    const auto writer = [&](const std::string& name) {
        auto sink = LogSink::open(directory.path(name));
        return std::make_unique<LogWriter>(*std::move(sink), log);
    };
    const auto first = writer("first");
    const auto second = writer("second");
    {
        RunningWorker running;
        const auto log_to = [&](LogWriter* to) {
            WorkerUpdate update = running.as_it_is();
            update.access_log = {.settings = {.target = "a file", .flush_interval = 1h},
                                 .writer = to};
            running.apply(std::move(update));
        };
        const auto serve = [&](int count) {
            for (int i = 0; i < count; ++i) {
                ASSERT_TRUE(Pair(running).works());
                ASSERT_TRUE(running.wait_for_sessions(0));
            }
        };
        serve(1);  // without a log
        log_to(first.get());
        serve(3);
        log_to(second.get());
        first->finish();  // nothing comes any more
        EXPECT_EQ(lines_in(directory.path("first")), 3U);
        serve(2);
        log_to(nullptr);
        serve(1);
    }
    second->finish();
    EXPECT_EQ(lines_in(directory.path("second")), 2U);
}

/// Two workers, of which only the first has the socket and the listener.
class TwoWorkers : public testing::Test {
protected:
    TwoWorkers() {
        settings.name = "up";
        shared.workers = {&first, &second};
        upstream = std::make_shared<UpstreamShared>(settings, 2);
        config::Listener listener;
        listener.name = "web";
        listener.upstream = "up";
        web = std::make_shared<ListenerShared>(listener, 2);
        backends = *net::open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 1);
        net::start_listening(backends, 16).value();
        front = *net::open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 1);
        net::start_listening(front, 16).value();
        snapshot = std::make_shared<const balancer::Snapshot>(
            RunningWorker::make_set({std::make_shared<balancer::Backend>(
                "up", "b", backends.sockets[0].bound(), balancer::BackendLimits{}, 2)}));
    }
    WorkerUpdate update(unsigned worker, bool with_listener) {
        WorkerUpdate update;
        update.upstreams.push_back(
            {upstream,
             new UpstreamContext(upstream, std::make_shared<const config::Upstream>(settings),
                                 snapshot, worker, 1)});
        if (with_listener) update.listeners.push_back({web, {0}});
        return update;
    }

    /// A change that only names what the worker has; with the listener, and its socket if it is
    /// this worker's.
    WorkerUpdate without_listener() {
        WorkerUpdate next;
        next.upstreams.push_back({.shared = upstream});
        return next;
    }
    WorkerUpdate with_listener(UniqueFd socket) {
        WorkerUpdate next = without_listener();
        next.listeners.push_back({web, {0}});
        const int fd = socket.get();
        if (socket) next.sockets.push_back({fd, 0, std::move(socket)});
        return next;
    }
    /// It has read its mail.
    static bool answers(Worker& worker) {
        std::atomic<bool> asked{false};
        worker.send([&] { asked = true; });
        return until([&] { return asked.load(); });
    }
    void stop(std::thread& one, std::thread& other) {
        for (int i = 0; i < 16; ++i) shared.loads.remove(0);
        first.send([this] { first.stop(); });
        second.send([this] { second.stop(); });
        one.join();
        other.join();
    }

    template <typename Condition>
    static bool until(Condition holds) {
        const auto end = SteadyClock().now() + 20s;
        while (!holds() && SteadyClock().now() < end) ::poll(nullptr, 0, 1);
        return holds();
    }

    SilentLog log;
    WorkersShared shared{2, 1000, 1, log};
    Worker first{shared, {0, 1U << 20, {}}, nullptr};
    Worker second{shared, {1, 1U << 20, {}}, nullptr};
    config::Upstream settings;
    std::shared_ptr<UpstreamShared> upstream;
    std::shared_ptr<ListenerShared> web;
    SnapshotPtr snapshot;
    net::ListenGroup backends;
    net::ListenGroup front;
};

TEST_F(TwoWorkers, a_connection_handed_to_one_that_is_behind_waits_until_it_knows_the_listener) {
    const Endpoint address = front.sockets[0].bound();
    first.apply(update(0, false));
    second.apply(update(1, false));
    first.apply(with_listener(front.sockets[0].take_fd()));
    for (int i = 0; i < 16; ++i) shared.loads.add(0);  // the other one is the right one
    std::thread one([this] { first.run(); });
    std::thread other([this] { second.run(); });
    const UniqueFd client = RunningWorker::connect_to(address);
    EXPECT_TRUE(until([&] { return first.cells().handed_off.value() == 1; }));
    // The turn of the first has ended, then what it has sent is in the second's mail.
    ASSERT_TRUE(answers(first) && answers(second));
    EXPECT_EQ(shared.loads.at(1), 1U) << "it is on its way";
    const auto turns = [this] {
        metrics::HistogramTotals lag;
        lag += second.cells().lag;
        return lag.count();
    };
    const auto before = turns();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(answers(first));
    EXPECT_LE(turns(), before + 1) << "it waits, and does nothing";
    second.send([this] { second.apply(with_listener({})); });
    pollfd wait{backends.sockets[0].fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 20'000), 1);
    const UniqueFd server(::accept4(backends.sockets[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(arrives(client, server));
    std::atomic<std::size_t> sessions{0};
    second.send([&] { sessions = second.sessions(); });
    EXPECT_TRUE(until([&] { return sessions == 1; }));
    stop(one, other);
}

TEST_F(TwoWorkers, a_connection_handed_to_one_that_knows_the_listener_no_more_is_refused) {
    const Endpoint address = front.sockets[0].bound();
    first.apply(update(0, false));
    first.apply(with_listener(front.sockets[0].take_fd()));
    second.apply(update(1, false));
    for (int i = 0; i < 2; ++i) second.apply(without_listener());
    for (int i = 0; i < 16; ++i) shared.loads.add(0);
    std::thread one([this] { first.run(); });
    std::thread other([this] { second.run(); });
    EXPECT_NE(end_of(RunningWorker::connect_to(address)), End::nothing);
    EXPECT_TRUE(until(
        [&] { return listener_figures(*web->account).closed_by(CloseReason::overload) == 1; }));
    EXPECT_EQ(shared.loads.at(1), 0U);
    EXPECT_EQ(shared.connections.used(), 0U);
    stop(one, other);
}

// The socket goes on under another name, and the upstream goes: clients that the first one has
// accepted before it heard of it are served as they would have been.
TEST_F(TwoWorkers, a_connection_handed_to_one_whose_upstream_has_left_is_served) {
    const Endpoint address = front.sockets[0].bound();
    auto complete = update(0, true);
    complete.sockets.push_back({front.sockets[0].fd(), 0, front.sockets[0].take_fd()});
    first.apply(std::move(complete));
    second.apply(update(1, true));
    second.apply(WorkerUpdate{});
    for (int i = 0; i < 16; ++i) shared.loads.add(0);
    std::thread one([this] { first.run(); });
    std::thread other([this] { second.run(); });
    {
        const UniqueFd client = RunningWorker::connect_to(address);
        pollfd wait{backends.sockets[0].fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&wait, 1, 20'000), 1);
        const UniqueFd server(::accept4(backends.sockets[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
        EXPECT_TRUE(arrives(client, server));
    }
    // Once everybody has heard of it nobody can come any more.
    second.send([this] { second.let_leave(); });
    EXPECT_NE(end_of(RunningWorker::connect_to(address)), End::nothing);
    EXPECT_TRUE(until([&] {
        return listener_figures(*web->account)
                   .routes.at(0)
                   .totals.closed[std::to_underlying(CloseReason::no_backend)] == 1;
    }));
    stop(one, other);
}

TEST_F(TwoWorkers, a_connection_that_waits_for_its_listener_ends_with_the_worker) {
    const Endpoint address = front.sockets[0].bound();
    first.apply(update(0, false));
    second.apply(update(1, false));
    first.apply(with_listener(front.sockets[0].take_fd()));
    for (int i = 0; i < 16; ++i) shared.loads.add(0);
    std::thread one([this] { first.run(); });
    std::thread other([this] { second.run(); });
    const UniqueFd client = RunningWorker::connect_to(address);
    EXPECT_TRUE(until([&] { return first.cells().handed_off.value() == 1; }));
    ASSERT_TRUE(answers(first) && answers(second));
    stop(one, other);
    EXPECT_NE(end_of(client), End::nothing);
    EXPECT_EQ(listener_figures(*web->account).closed_by(CloseReason::drained), 1U);
    EXPECT_EQ(shared.connections.used(), 0U);
}

// The other one has the listener with settings under which sources have no accounts.
TEST_F(TwoWorkers, a_connection_handed_to_one_that_is_ahead_leaves_its_sources_place_where_it_was) {
    config::Listener limited;
    limited.name = "web";
    limited.upstream = "up";
    limited.max_connections_per_source = 1;
    web = std::make_shared<ListenerShared>(limited, 2);
    limited.max_connections_per_source = 0;
    const auto plain = std::make_shared<ListenerShared>(limited, web->account,
                                                        balancer::SourceTable::Size{}, web.get());
    auto complete = update(0, true);
    const Endpoint address = front.sockets[0].bound();
    complete.sockets.push_back({front.sockets[0].fd(), 0, front.sockets[0].take_fd()});
    first.apply(std::move(complete));
    auto ahead = update(1, false);
    ahead.listeners.push_back({plain, {0}});
    second.apply(std::move(ahead));
    for (int i = 0; i < 16; ++i) shared.loads.add(0);
    std::thread one([this] { first.run(); });
    std::thread other([this] { second.run(); });
    const auto source = Endpoint::ipv4({127, 0, 0, 1}, 1).ip();
    for (int i = 0; i < 3; ++i) {
        const UniqueFd client = RunningWorker::connect_to(address);
        pollfd wait{backends.sockets[0].fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&wait, 1, 20'000), 1) << "a place that is not given back refuses the next";
        UniqueFd server(::accept4(backends.sockets[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
        EXPECT_TRUE(arrives(client, server));
    }
    EXPECT_TRUE(until([&] { return web->account->connections.used() == 0; }));
    EXPECT_EQ(web->gate.connections_of(source), 0U);
    for (int i = 0; i < 16; ++i) shared.loads.remove(0);
    first.send([this] { first.stop(); });
    second.send([this] { second.stop(); });
    one.join();
    other.join();
}

}  // namespace
}  // namespace penstock::proxy
