#include "app/run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/access_files.hpp"
#include "app/admin_api.hpp"
#include "app/diagnostics.hpp"
#include "app/monitors.hpp"
#include "app/process.hpp"
#include "app/version.hpp"

namespace penstock::app {

namespace {

constexpr std::uint64_t buffer_share_of_memory = 4;  // a quarter
constexpr std::uint64_t smallest_buffer_cap = 16U << 20;

void report(std::string_view message) { fmt::print(stderr, "penstock: {}\n", message); }

std::size_t buffer_cap() {
    return static_cast<std::size_t>(
        std::max(usable_memory() / buffer_share_of_memory, smallest_buffer_cap));
}

void warn_of_clamped_backlogs(const config::Config& config, Logger& log) {
    const auto limit = net::kernel_backlog_limit();
    for (const auto& listener : config.listeners)
        if (limit && listener.backlog > static_cast<std::uint32_t>(*limit))
            log.warn(
                "listener {}: backlog {} is clamped to {} by net.core.somaxconn; raise it or "
                "lower the key",
                listener.name, listener.backlog, *limit);
}

// Until the first verdicts of health are there. False: a signal to stop came first.
bool await_verdicts(ControlLoop& loop, Monitors& monitors, Logger& log) {
    bool verdicts = false;
    bool stopped = false;
    bool listening = false;
    const std::function<void()> listen = [&] {
        listening = true;
        loop.signals.async_wait([&](const boost::system::error_code& error, int signal) {
            listening = false;
            if (error) return;
            stopped = stopped || signal == SIGTERM || signal == SIGINT;
            if (!stopped) listen();
        });
    };
    listen();
    boost::asio::co_spawn(loop.context, monitors.first_verdicts(), [&](std::exception_ptr error) {
        verdicts = true;
        rethrow_failure(std::move(error));
    });
    while (!verdicts && !stopped) loop.context.run_one();
    if (stopped) {
        log.info("stopped before anything was accepted");
        monitors.stop();
    }
    loop.signals.cancel();
    while (listening || !verdicts) loop.context.run_one();
    loop.context.restart();  // without backends to look after it has run out of work
    return !stopped;
}

// Until a graceful stop has ended.
void operate(const config::Config& config, ControlLoop& loop, net::ProcessLog& log, Server& server,
             Monitors& monitors, AdminApi& admin, std::vector<proxy::AccessPolicy::Files> access) {
    AccessFiles access_files(loop.context, config, std::move(access), server, log);
    Control control(loop.context, loop.signals, server, config.process, log,
                    [&admin] { admin.service().set_stopping(); });
    boost::asio::co_spawn(loop.context, control.run(), [&](std::exception_ptr error) {
        admin.service().stop();
        access_files.stop();
        monitors.stop();
        loop.context.stop();  // nobody waits for the end of a check
        rethrow_failure(std::move(error));
    });
    loop.context.run();
    admin.stop();
    server.join();
    log.info("stopped: {}", server.summary() + access_files.summary() + monitors.summary());
}

}  // namespace

std::expected<Capacity, std::string> plan_capacity(const config::Config& config) {
    const std::size_t workers =
        config.process.workers != 0 ? config.process.workers : usable_cores();
    std::size_t sockets = 0;
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind) sockets += bind.address.is_unix() ? 1 : workers;
    auto limit = connection_limit(
        config.process.max_connections, raise_descriptor_limit(),
        {workers, sockets, warm_connections(config), Monitors::descriptors(config)});
    if (!limit) return std::unexpected(limit.error());
    return Capacity{workers, *std::move(limit)};
}

ControlLoop::ControlLoop() : signals(context) {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) signals.add(signal);
}

int serve(const config::Config& config, ControlLoop& loop, net::ProcessLog& log,
          const std::function<void(const Server&, const AdminApi&)>& when_ready) {
    const auto capacity = plan_capacity(config);
    if (!capacity) {
        report(capacity.error());
        return ExitStatus::invalid_usage;
    }
    auto access = AccessFiles::load(config);
    if (!access) {
        report(access.error());
        return ExitStatus::invalid_usage;
    }
    auto monitors = Monitors::make(loop.context, config, capacity->workers, log);
    if (!monitors) {
        report(monitors.error());
        return ExitStatus::invalid_usage;
    }
    auto server = Server::open(config,
                               {capacity->workers, capacity->limit.connections, buffer_cap(),
                                *access, (*monitors)->first()},
                               log);
    if (!server) {
        report(server.error());
        return ExitStatus::failure;
    }
    auto admin = AdminApi::open({loop.context, config, **server, **monitors, log, capacity->limit});
    if (!admin) {
        report(admin.error());
        return ExitStatus::failure;
    }
    if (auto switched = switch_user(config.process.user, config.process.group); !switched) {
        report(switched.error());
        return ExitStatus::failure;
    }
    (*monitors)->on_event(
        [&service = (*admin)->service()](const auto& upstream, const auto& event) {
            service.on_health_event(upstream, event);
        });
    (*server)->shared().on_limit = [&context = loop.context, &service = (*admin)->service()](
                                       const std::string& listener, CloseReason reason,
                                       std::string text) {
        boost::asio::post(context, [&service, listener, reason, told = std::move(text)] {
            service.on_limit(listener, reason, told);
        });
    };
    (*monitors)->on_backends(
        [&service = (*admin)->service()](const auto& upstream) { service.follow(upstream); });
    (*monitors)->start(**server);
    (*admin)->start();
    if (!await_verdicts(loop, **monitors, log)) {
        (*admin)->stop();
        (*server)->withdraw();
        return ExitStatus::success;
    }
    if (auto started = (*server)->start(); !started) {
        report(started.error());
        return ExitStatus::failure;
    }
    warn_of_clamped_backlogs(config, log);
    log.info("penstock {}: {} workers, at most {} connections ({})", version(), capacity->workers,
             with_commas(capacity->limit.connections), capacity->limit.cause);
    when_ready(**server, **admin);
    notify_service_manager("READY=1");

    operate(config, loop, log, **server, **monitors, **admin, *std::move(access));
    return ExitStatus::success;
}

int run(const std::string& config_file) {
    ControlLoop loop;
    const auto loaded = load_configuration(config_file);
    print_diagnostics(loaded.diagnostics);
    if (!loaded.ok()) {
        report(fmt::format("{}; nothing was started", count_diagnostics(loaded.diagnostics)));
        return ExitStatus::invalid_usage;
    }
    auto log = net::ProcessLog::open(logger_options(loaded.config.log));
    if (!log) {
        report(fmt::format("cannot open the log: {}", log.error()));
        return ExitStatus::failure;
    }
    return serve(loaded.config, loop, **log, [](const Server& server, const AdminApi&) {
        for (const auto& [listener, address] : server.bound())
            print_line(fmt::format("listening {} {}", listener, address.to_string()));
        print_line("ready");
    });
}

}  // namespace penstock::app
