#include "app/run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/access_files.hpp"
#include "app/admin_api.hpp"
#include "app/diagnostics.hpp"
#include "app/log_options.hpp"
#include "app/monitors.hpp"
#include "app/process.hpp"
#include "app/reload/reloader.hpp"
#include "app/service_manager.hpp"
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

/// All of a running proxy, in the order in which its parts need each other.
struct Proxy {
    std::unique_ptr<Monitors> monitors;
    std::unique_ptr<Server> server;
    std::unique_ptr<AdminApi> admin;
    std::unique_ptr<AccessFiles> access_files;
    std::unique_ptr<Reloader> reloader;
};

struct Failure {
    std::string message;
    ExitStatus status;
};

void wire(Proxy& proxy, ControlLoop& loop) {
    auto& service = proxy.admin->service();
    service.set_reloader(*proxy.reloader);
    proxy.monitors->on_event([&service](const auto& upstream, const auto& event) {
        service.on_health_event(upstream, event);
    });
    proxy.monitors->on_backends([&service](const auto& upstream) { service.follow(upstream); });
    proxy.server->shared().on_limit = [&context = loop.context, &service](
                                          const std::string& listener, CloseReason reason,
                                          std::string text) {
        boost::asio::post(context, [&service, listener, reason, told = std::move(text)] {
            service.on_limit(listener, reason, told);
        });
    };
}

// Everything that can fail; nothing is accepted yet.
std::expected<Proxy, Failure> open(const Origin& origin, const Capacity& capacity,
                                   ControlLoop& loop, net::ProcessLog& log) {
    const auto& config = *origin.config;
    const auto invalid = [](std::string message) {
        return std::unexpected(Failure{std::move(message), ExitStatus::invalid_usage});
    };
    const auto failed = [](std::string message) {
        return std::unexpected(Failure{std::move(message), ExitStatus::failure});
    };
    auto access = AccessFiles::load(config);
    if (!access) return invalid(access.error());
    const auto passwords = Monitors::read_passwords(config);
    if (!passwords) return invalid(passwords.error());
    Proxy proxy;
    proxy.monitors =
        std::make_unique<Monitors>(loop.context, config, *passwords, capacity.workers, log);
    auto server = Server::open(origin.config,
                               {capacity.workers, capacity.limit.connections, buffer_cap(),
                                access->policies, proxy.monitors->first()},
                               log);
    if (!server) return failed(server.error());
    proxy.server = *std::move(server);
    auto admin =
        AdminApi::open({loop.context, *proxy.server, *proxy.monitors, log}, capacity.limit);
    if (!admin) return failed(admin.error());
    proxy.admin = *std::move(admin);
    if (auto switched = switch_user(config.process.user, config.process.group); !switched)
        return failed(switched.error());
    proxy.access_files = std::make_unique<AccessFiles>(loop.context, *proxy.server, log);
    proxy.access_files->follow(origin.config, std::move(access->files));
    proxy.reloader = std::make_unique<Reloader>(
        Reloader::Parts{loop.context, *proxy.server, *proxy.monitors, *proxy.access_files,
                        *proxy.admin, log},
        origin.file, origin.files);
    wire(proxy, loop);
    return proxy;
}

// Until a graceful stop has ended.
void operate(ControlLoop& loop, net::ProcessLog& log, Proxy& proxy) {
    Control control({loop.context, loop.signals, *proxy.server, *proxy.reloader, log},
                    [&proxy] { proxy.admin->service().set_stopping(); });
    boost::asio::co_spawn(loop.context, control.run(), [&](std::exception_ptr error) {
        proxy.reloader->stop();
        proxy.admin->service().stop();
        proxy.access_files->stop();
        proxy.monitors->stop();
        loop.context.stop();  // nobody waits for the end of a check
        rethrow_failure(std::move(error));
    });
    loop.context.run();
    proxy.admin->stop();
    proxy.server->join();
    log.info("stopped: {}", proxy.server->summary() + proxy.access_files->summary() +
                                proxy.monitors->summary());
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

int serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log,
          const std::function<void(const Server&, const AdminApi&)>& when_ready) {
    const auto capacity = plan_capacity(*origin.config);
    if (!capacity) {
        report(capacity.error());
        return ExitStatus::invalid_usage;
    }
    auto proxy = open(origin, *capacity, loop, log);
    if (!proxy) {
        report(proxy.error().message);
        return proxy.error().status;
    }
    proxy->monitors->start(*proxy->server);
    proxy->admin->start();
    if (!await_verdicts(loop, *proxy->monitors, log)) {
        proxy->admin->stop();
        proxy->server->withdraw();
        return ExitStatus::success;
    }
    if (auto started = proxy->server->start(); !started) {
        report(started.error());
        return ExitStatus::failure;
    }
    warn_of_clamped_backlogs(*origin.config, log);
    log.info("penstock {}: {} workers, at most {} connections ({})", version(), capacity->workers,
             with_commas(capacity->limit.connections), capacity->limit.cause);
    when_ready(*proxy->server, *proxy->admin);
    notify_service_manager("READY=1");
    operate(loop, log, *proxy);
    return ExitStatus::success;
}

int run(const std::string& config_file) {
    ControlLoop loop;
    auto loaded = load_configuration(config_file);
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
    const Origin origin{std::make_shared<const config::Config>(std::move(loaded.config)),
                        std::filesystem::absolute(config_file).lexically_normal().string(),
                        std::move(loaded.files)};
    return serve(origin, loop, **log, [](const Server& server, const AdminApi&) {
        for (const auto& [listener, address] : server.bound())
            print_line(fmt::format("listening {} {}", listener, address.to_string()));
        print_line("ready");
    });
}

}  // namespace penstock::app
