#include <exception>
#include <functional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/check.hpp"
#include "app/client/commands.hpp"
#include "app/demo.hpp"
#include "app/process.hpp"
#include "app/run.hpp"
#include "app/version.hpp"
#include "net/tls/context.hpp"

namespace {

using namespace penstock::app;

constexpr const char* default_config = "/etc/penstock/penstock.toml";

void add_run(CLI::App& app, std::function<int()>& action, const upgrade::Program& program) {
    static std::string file = default_config;
    auto* command = app.add_subcommand("run", "Run the proxy in the foreground");
    command->add_option("-c,--config", file, "Configuration file")->capture_default_str();
    command->callback([&action, &program] { action = [&program] { return run(file, program); }; });
}

void add_check(CLI::App& app, std::function<int()>& action) {
    static CheckOptions options{.config_file = default_config};
    auto* command = app.add_subcommand("check", "Validate a configuration exactly as `run` does");
    command
        ->add_option("-c,--config", options.config_file, "Configuration file, - for standard input")
        ->capture_default_str();
    command->add_flag("-p,--print", options.print,
                      "Print the effective configuration with all defaults, as TOML");
    command->add_flag("-s,--strict", options.strict, "Fail on warnings");
    command->add_flag("-j,--json", options.json, "Print the result as JSON")->excludes("--print");
    command->callback([&action] { action = [] { return check(options); }; });
}

void add_demo(CLI::App& app, std::function<int()>& action) {
    static DemoOptions options;
    auto* command = app.add_subcommand(
        "demo", "Try Penstock without any set-up: a proxy in front of small HTTP backends");
    command->add_option("-p,--port", options.port, "Port of the proxy on 127.0.0.1, 0 = any")
        ->capture_default_str();
    command->add_option("--admin-port", options.admin_port, "Port of admin API and dashboard")
        ->capture_default_str();
    command->add_option("-n,--backends", options.backends, "Number of backends")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    command->callback([&action] { action = [] { return demo(options); }; });
}

void add_version(CLI::App& app, std::function<int()>& action) {
    auto* command = app.add_subcommand("version", "Version, compiler, libraries, features");
    command->callback([&action] {
        action = [] {
            fmt::print("{}", version_report());
            return static_cast<int>(ExitStatus::success);
        };
    });
}

int run_command(int argc, char** argv, const upgrade::Program& program) {
    CLI::App app("Penstock, a load-balancing TCP reverse proxy", "penstock");
    app.require_subcommand(1);
    app.set_version_flag("-V,--version", "penstock " + std::string(version()));
    std::function<int()> action;
    add_run(app, action, program);
    add_check(app, action);
    add_demo(app, action);
    client::add_commands(app, action);
    add_version(app, action);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? ExitStatus::success : ExitStatus::invalid_usage;
    }
    return action();
}

}  // namespace

int main(int argc, char** argv) {
    // First: nothing of how it was started may have changed.
    const auto program = upgrade::own_program(argc, argv);
    fill_standard_streams();
    ignore_stray_signals();
    penstock::net::tls::ignore_openssl_conf();  // before any library uses OpenSSL
    try {
        return run_command(argc, argv, program);
    } catch (const std::exception& e) {
        fmt::print(stderr, "penstock: {}\n", e.what());
        return ExitStatus::failure;
    }
}
