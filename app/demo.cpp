#include "app/demo.hpp"

#include <cerrno>  // program_invocation_name
#include <string_view>

#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "app/admin_api.hpp"
#include "app/demo_backend.hpp"
#include "app/demo_traffic.hpp"
#include "app/process.hpp"
#include "app/run.hpp"
#include "app/runtime_directory.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace {

constexpr std::array<std::uint8_t, 4> loopback{127, 0, 0, 1};

config::Config demo_config(const DemoOptions& options, const DemoBackends& backends,
                           const std::string& control_socket) {
    config::Config config;
    config.process.workers = 1;
    config.process.drain = {std::chrono::seconds(1), std::chrono::seconds(1)};
    config.log.level = config::LogLevel::warn;
    config::Upstream upstream;
    upstream.name = "demo";
    upstream.health_check.type = config::CheckType::tcp;
    for (const auto& server : backends.servers()) {
        config::Backend backend;
        backend.name = server->name;
        backend.address = Endpoint::ipv4(loopback, server->port);
        upstream.backends.push_back(std::move(backend));
    }
    config::Listener listener;
    listener.name = "demo";
    listener.bind = {Endpoint::ipv4(loopback, options.port)};
    listener.upstream = upstream.name;
    config.listeners.push_back(std::move(listener));
    config.upstreams.push_back(std::move(upstream));
    config::AdminListener look;
    look.bind = {Endpoint::ipv4(loopback, options.admin_port)};
    look.access = config::AdminAccess::read;
    config.admin.listeners.push_back(std::move(look));
    if (!control_socket.empty()) {
        config::AdminListener control;
        control.bind = {*Endpoint::parse("unix:" + control_socket)};
        config.admin.listeners.push_back(std::move(control));
    }
    return config;
}

// Where the demo can be operated, by this user alone; "" where there is no place for a socket.
std::string control_socket() {
    const auto directory =
        choose_runtime_directory(config::process_environment(), make_runtime_directory);
    return directory ? fmt::format("{}/demo-{}.sock", *directory, ::getpid()) : "";
}

void print_welcome(const Server& server, const AdminApi& admin, const DemoBackends& backends,
                   const std::string& socket) {
    const auto port = server.bound().front().address.port();
    const auto url = fmt::format("http://127.0.0.1:{}/", port);
    print_line(fmt::format("listening demo 127.0.0.1:{}", port));
    print_line("ready");
    print_line("");
    print_line(fmt::format("Penstock listens on {} and balances (p2c) over {} backends:", url,
                           backends.servers().size()));
    for (const auto& backend : backends.servers())
        print_line(fmt::format("  {}  http://127.0.0.1:{}/", backend->name, backend->port));
    print_line("");
    print_line("Try:");
    print_line(fmt::format("  curl {}", url));
    print_line(fmt::format("  for i in 1 2 3 4 5 6; do curl -s {}; done", url));
    print_line("");
    const auto admin_port = admin.bound().front().port();
    print_line("A client inside asks it twenty times a second, so that there is something to see:");
    print_line(fmt::format("  dashboard  http://127.0.0.1:{}/", admin_port));
    print_line(fmt::format("  metrics    http://127.0.0.1:{}/metrics", admin_port));
    // As it was called: it may not be in PATH.
    const std::string_view program = program_invocation_name;
    print_line(fmt::format("  terminal   {} top --admin 127.0.0.1:{}", program, admin_port));
    if (!socket.empty())
        print_line(fmt::format("  operate    {} backend demo/backend-1 drain --admin unix:{}",
                               program, socket));
    print_line("");
    print_line("Ctrl-C ends it.");
}

}  // namespace

ExitStatus demo(const DemoOptions& options) try {
    ControlLoop loop;
    const DemoBackends backends(options.backends);
    const std::string socket = control_socket();
    const auto config = demo_config(options, backends, socket);
    auto log = net::ProcessLog::open({.level = LogLevel::warn});
    if (!log) {
        fmt::print(stderr, "penstock: cannot open the log: {}\n", log.error());
        return ExitStatus::failure;
    }
    Inheritance nothing;
    return serve(
        {.config = std::make_shared<const config::Config>(config),
         .manager = {config::process_environment(), ::getpid(), false}},
        loop, **log, nothing, [&](const Server& server, const AdminApi& admin) {
            print_welcome(server, admin, backends, socket);
            const auto port = server.bound().front().address.port();
            boost::asio::co_spawn(
                loop.context,
                demo_traffic(loop.context, {boost::asio::ip::address_v4::loopback(), port}),
                net::rethrow_failure);
        });
} catch (const boost::system::system_error& e) {
    fmt::print(stderr, "penstock: cannot start the demo's backends: {}\n", e.what());
    return ExitStatus::failure;
}

}  // namespace penstock::app
