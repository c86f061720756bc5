#include "app/demo.hpp"

#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include "app/demo_backend.hpp"
#include "app/process.hpp"
#include "app/run.hpp"

namespace penstock::app {

namespace {

constexpr std::array<std::uint8_t, 4> loopback{127, 0, 0, 1};

config::Config demo_config(const DemoOptions& options, const DemoBackends& backends) {
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
    return config;
}

void print_welcome(const Server& server, const DemoBackends& backends, const DemoOptions& options) {
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
    print_line(
        fmt::format("The admin API and the dashboard are not part of this version: nothing "
                    "listens on port {}.",
                    options.admin_port));
    print_line("Ctrl-C ends it.");
}

}  // namespace

int demo(const DemoOptions& options) try {
    ControlLoop loop;
    const DemoBackends backends(options.backends);
    const auto config = demo_config(options, backends);
    auto log = net::ProcessLog::open({.level = LogLevel::warn});
    if (!log) {
        fmt::print(stderr, "penstock: cannot open the log: {}\n", log.error());
        return ExitStatus::failure;
    }
    return serve(config, loop, **log,
                 [&](const Server& server) { print_welcome(server, backends, options); });
} catch (const boost::system::system_error& e) {
    fmt::print(stderr, "penstock: cannot start the demo's backends: {}\n", e.what());
    return ExitStatus::failure;
}

}  // namespace penstock::app
