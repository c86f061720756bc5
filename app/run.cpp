#include "app/run.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <future>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "app/assembly.hpp"
#include "app/await_verdicts.hpp"
#include "app/control.hpp"
#include "app/diagnostics.hpp"
#include "app/log_files.hpp"
#include "app/log_options.hpp"
#include "app/process.hpp"
#include "app/refusals.hpp"
#include "app/sandbox/sandbox.hpp"
#include "app/version.hpp"
#include "app/with_commas.hpp"
#include "config/source.hpp"
#include "net/asio_words.hpp"
#include "net/tcp_info.hpp"

namespace penstock::app {

namespace {

constexpr std::chrono::seconds longest_last_words{2};

void report(std::string_view message) { fmt::print(stderr, "penstock: {}\n", message); }

// TCP sockets tell what became of it, also where the file of the limit is hidden (ProcSubset=pid).
std::optional<std::uint32_t> backlog_limit(int fd) {
    if (const auto queue = net::accept_queue(fd)) return queue->limit;
    const auto limit = net::kernel_backlog_limit();
    return limit ? std::optional(static_cast<std::uint32_t>(*limit)) : std::nullopt;
}

void warn_of_clamped_backlogs(const config::Listener& listener, const ListeningSockets& sockets,
                              Logger& log) {
    for (const auto& group : sockets.groups()) {
        if (group.listener != listener.name || group.fds.empty()) continue;
        const auto limit = backlog_limit(group.fds.front());
        if (!limit || *limit >= listener.backlog) continue;
        return log.warn(
            "listener {}: backlog {} is clamped to {} by net.core.somaxconn; raise it or lower the "
            "key",
            listener.name, listener.backlog, *limit);
    }
}

// Whoever names root wants it so.
void warn_of_root(const config::Process& process, Logger& log) {
    if (::geteuid() == 0 && process.user.empty())
        log.warn(
            "running as root, which nothing here needs once sockets are open, and which other "
            "services obey whatever the sandbox denies: set process.user to a user of its own, or "
            "start as one, with CAP_NET_BIND_SERVICE for ports below 1024");
}

// Who hangs may go on at any time, with what is destroyed otherwise.
[[noreturn]] void leave_to_the_kernel(const std::vector<std::string_view>& hung,
                                      net::ProcessLog& log, ExitStatus status) {
    for (const auto work : hung)
        log.error(
            "the thread that {} does not come back, perhaps from a disk that hangs: the process "
            "ends without it",
            work);
    // The log may be on that disk.
    std::promise<void> written;
    const std::thread writer([&log, &written] {
        log.finish();
        written.set_value();
    });
    written.get_future().wait_for(longest_last_words);
    ::_exit(static_cast<int>(status));  // with the writer, wherever it is
}

// At the end of its scope nothing waits in the loop any more.
struct AbandonedAtEnd {
    ControlLoop& loop;
    Assembly& proxy;
    net::ProcessLog& log;
    ExitStatus status = ExitStatus::failure;  // if it has to end the process itself
    ~AbandonedAtEnd() {
        if (const auto hung = proxy.join(); !hung.empty()) leave_to_the_kernel(hung, log, status);
        loop.abandon();
    }
};

// Until a graceful stop has ended.
void operate(const ServiceManager& manager, ControlLoop& loop, net::ProcessLog& log,
             Assembly& proxy) {
    Control control({loop.context, loop.signals, *proxy.server, *proxy.reloader,
                     proxy.upgrader.get(), *proxy.old, *proxy.admin, manager, proxy.sandbox, log});
    AbandonedAtEnd before_control{loop, proxy, log};
    if (proxy.upgrader) {
        proxy.upgrader->on_replaced([&control] { control.retire(); });
        proxy.upgrader->on_successor_gone([&control] { control.be_left(); });
    }
    control.ping_service_manager();
    boost::asio::co_spawn(loop.context, control.run(), [&](std::exception_ptr error) {
        proxy.reloader->stop(proxy_stops);
        proxy.old->stop();
        proxy.admin->service().stop();
        proxy.access_files->stop();
        proxy.tls_files->stop();
        proxy.monitors->stop();
        loop.context.stop();  // nobody waits for the end of a check
        net::rethrow_failure(std::move(error));
    });
    loop.context.run();
    proxy.admin->stop();
    proxy.server->join();
    // So that it tells of all lines; a disk that hangs is up to Assembly::join().
    static_cast<void>(proxy.server->end_logs(SteadyClock().now() + longest_last_words));
    log.info("stopped: {}", proxy.server->summary() + proxy.access_files->summary() +
                                proxy.tls_files->summary() + proxy.monitors->summary());
    before_control.status = ExitStatus::success;
}

// Everything is open and read; what comes from the network is not read yet.
std::expected<void, std::string> enter_sandbox(const Origin& origin, Assembly& proxy, Logger& log) {
    auto confined = sandbox::Sandbox::enter(*origin.config, origin.files, origin.patterns);
    if (!confined) return std::unexpected(confined.error());
    proxy.sandbox = *std::move(confined);
    const auto mode = origin.config->process.sandbox;
    if (auto possible = sandbox::possible(mode); !possible)
        log.info("sandbox: off ({})", possible.error());
    else
        log.info("sandbox: {}", proxy.sandbox.summary());
    for (const auto& part : proxy.sandbox.missing()) log.warn("sandbox: {}", part);
    return {};
}

// Before there are other threads, and keys. Process 1 of a container has none: it is not upgraded.
std::expected<std::optional<upgrade::Launcher>, std::string> make_launcher(
    const config::Process& process, const upgrade::Program& program) {
    if (::getpid() == 1) return std::nullopt;
    const bool is_confined = sandbox::possible(process.sandbox).has_value();
    auto launcher = upgrade::Launcher::start(program, process.user, process.group, is_confined);
    if (!launcher) return std::unexpected(launcher.error());
    return *std::move(launcher);
}

// Everybody who wants to know hears why nothing was started.
ExitStatus give_up(Inheritance& inheritance, const std::string& message, ExitStatus status) {
    report(message);
    inheritance.say_failed(message);
    return status;
}

// A pipe may stay open for ever, and who waits for its end hears no signal: until then, while
// nothing has been started, they do what they do to any program.
config::LoadResult load_stoppable(ControlLoop& loop, const std::string& file) {
    const bool waits = file == "-" || config::piped_descriptor(file).has_value();
    if (waits)
        for (const int signal : {SIGTERM, SIGINT}) loop.signals.remove(signal);
    auto loaded = load_configuration(file);
    if (waits)
        for (const int signal : {SIGTERM, SIGINT}) loop.signals.add(signal);
    return loaded;
}

std::string first_error(const std::vector<config::Diagnostic>& diagnostics) {
    const auto first =
        std::ranges::find(diagnostics, config::Severity::error, &config::Diagnostic::severity);
    if (first == diagnostics.end()) return {};
    return fmt::format("{}: {}", place_of(*first), first->message);
}

}  // namespace

ExitStatus serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log,
                 Inheritance& inheritance,
                 const std::function<void(const Server&, const AdminApi&)>& when_ready) {
    const auto capacity = plan_capacity(*origin.config);
    if (!capacity) return give_up(inheritance, capacity.error(), ExitStatus::invalid_usage);
    auto opened = Assembly::open(origin, *capacity, loop.context, log, inheritance);
    if (!opened) return give_up(inheritance, opened.error().message, opened.error().status);
    Assembly& proxy = **opened;
    AbandonedAtEnd before_proxy{loop, proxy, log};
    for (const auto& sentence : log_files_of_others(*origin.config)) log.warn("{}", sentence);
    const bool takes_over = inheritance.takes_over();
    if (auto confined = enter_sandbox(origin, proxy, log); !confined) {
        proxy.server->withdraw();
        return give_up(inheritance, confined.error(), ExitStatus::failure);
    }
    proxy.monitors->start(*proxy.server);
    // One that takes over answers only when it knows what the other one has counted.
    if (!takes_over) proxy.admin->start();
    if (!await_verdicts(loop, proxy, log, takes_over)) {
        proxy.admin->stop();
        proxy.server->withdraw();
        inheritance.say_failed("it was told to stop before it was ready");
        return before_proxy.status = ExitStatus::success;
    }
    // Before anybody is accepted: pauses and splits count for the first client.
    inheritance.restore(proxy.admin->service());
    if (auto started = proxy.server->start(); !started)
        return give_up(inheritance, started.error(), ExitStatus::failure);
    inheritance.say_ready(*proxy.old, proxy.admin->service(), log);
    proxy.server->own_paths();
    proxy.admin->server().own_paths();
    proxy.server->keep_spare(inheritance.left_over(log));
    if (takes_over) proxy.admin->start();
    for (const auto& listener : origin.config->listeners)
        warn_of_clamped_backlogs(listener, proxy.server->sockets(), log);
    log.info("penstock {}: {} workers, at most {} connections ({})", version(), capacity->workers,
             with_commas(capacity->limit.connections), capacity->limit.cause);
    when_ready(*proxy.server, *proxy.admin);
    origin.manager.notify("READY=1");
    operate(origin.manager, loop, log, proxy);
    return before_proxy.status = ExitStatus::success;
}

ExitStatus run(const std::string& config_file, upgrade::Program program) {
    const auto environment = config::process_environment();
    auto inheritance = Inheritance::take(environment);
    if (!inheritance) {
        report(inheritance.error());
        return ExitStatus::failure;
    }
    ControlLoop loop;
    auto loaded = load_stoppable(loop, config_file);
    print_diagnostics(loaded.diagnostics);
    if (!loaded.ok()) {
        report(fmt::format("{}; nothing was started", count_diagnostics(loaded.diagnostics)));
        inheritance->say_failed("the configuration is not valid: " +
                                first_error(loaded.diagnostics));
        return ExitStatus::invalid_usage;
    }
    auto launcher = make_launcher(loaded.config.process, program);
    if (!launcher) return give_up(*inheritance, launcher.error(), ExitStatus::failure);
    make_log_files(loaded.config);
    auto log = net::ProcessLog::open(logger_options(loaded.config.log));
    if (!log)
        return give_up(*inheritance, fmt::format("cannot open the log: {}", log.error()),
                       ExitStatus::failure);
    warn_of_root(loaded.config.process, **log);
    const Origin origin{std::make_shared<const config::Config>(std::move(loaded.config)),
                        std::filesystem::absolute(config_file).lexically_normal().string(),
                        std::move(loaded.files),
                        std::move(loaded.include_patterns),
                        std::move(program),
                        *launcher ? &**launcher : nullptr,
                        {environment, ::getpid(), inheritance->takes_over()}};
    return serve(origin, loop, **log, *inheritance, [](const Server& server, const AdminApi&) {
        for (const auto& [listener, address] : server.bound())
            print_line(fmt::format("listening {} {}", listener, address.to_string()));
        print_line("ready");
    });
}

}  // namespace penstock::app
