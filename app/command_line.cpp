#include "app/command_line.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/check.hpp"
#include "app/client/commands.hpp"
#include "app/demo.hpp"
#include "app/run.hpp"
#include "app/version.hpp"
#include "config/suggest.hpp"

namespace penstock::app {

namespace {

constexpr const char* default_config = "/etc/penstock/penstock.toml";

void add_run(CLI::App& app, std::function<ExitStatus()>& action, const upgrade::Program& program) {
    static std::string file = default_config;
    auto* command = app.add_subcommand("run", "Run the proxy in the foreground");
    command->add_option("-c,--config", file, "Configuration file")
        ->type_name("FILE")
        ->capture_default_str();
    command->callback([&action, &program] { action = [&program] { return run(file, program); }; });
}

void add_check(CLI::App& app, std::function<ExitStatus()>& action) {
    static CheckOptions options{.config_file = default_config};
    auto* command = app.add_subcommand("check", "Validate a configuration exactly as `run` does");
    command
        ->add_option("-c,--config", options.config_file, "Configuration file, - for standard input")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_flag("-p,--print", options.print,
                      "Print the effective configuration with all defaults, as TOML");
    command->add_flag("-s,--strict", options.strict, "Fail on warnings");
    command->add_flag("-j,--json", options.json, "Print the result as JSON")->excludes("--print");
    command->callback([&action] { action = [] { return check(options); }; });
}

void add_demo(CLI::App& app, std::function<ExitStatus()>& action) {
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

void add_version(CLI::App& app, std::function<ExitStatus()>& action) {
    auto* command = app.add_subcommand("version", "Version, compiler, libraries, features");
    command->callback([&action] {
        action = [] {
            fmt::print("{}", version_report());
            return ExitStatus::success;
        };
    });
}

void add_everything(CLI::App& app, std::function<ExitStatus()>& action,
                    const upgrade::Program& program) {
    app.require_subcommand(1);
    app.set_version_flag("-V,--version", "penstock " + std::string(version()));
    add_run(app, action, program);
    add_check(app, action);
    add_demo(app, action);
    client::add_commands(app, action);
    add_version(app, action);
}

constexpr const char* title = "Penstock, a load-balancing TCP reverse proxy";

// CLI11 writes "TEXT:{a,b}" for a set of words, "TEXT:DURATION" for what a validator calls its own.
std::string value_name(const std::string& type) {
    const auto colon = type.find(':');
    const auto kind = type.substr(0, colon);
    const bool is_plain = kind == "TEXT" || kind == "UINT" || kind == "INT" || kind == "FLOAT";
    const auto own = colon == std::string::npos ? std::string() : type.substr(colon + 1);
    if (!is_plain) return kind;
    if (!own.empty() && own.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ/") == std::string::npos)
        return own;
    return kind == "TEXT" ? kind : "NUMBER";
}

std::vector<std::string> choices(const std::string& type) {
    std::vector<std::string> words;
    const auto open = type.find('{');
    if (open == std::string::npos) return words;
    std::string_view rest(type);
    rest = rest.substr(open + 1, rest.find('}') - open - 1);
    while (!rest.empty()) {
        const auto comma = rest.find(',');
        words.emplace_back(rest.substr(0, comma));
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    return words;
}

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

manual::Option describe(const CLI::Option& option) {
    const auto type = option.get_type_name();
    manual::Option out{.text = option.get_description(),
                       .default_value = option.get_default_str(),
                       .choices = choices(type),
                       .required = option.get_required(),
                       .repeats = option.get_items_expected_max() > 1};
    if (option.get_positional()) {
        out.value = upper(option.get_single_name());
        return out;
    }
    if (!option.get_snames().empty()) out.short_name = option.get_snames().front();
    if (!option.get_lnames().empty()) out.long_name = option.get_lnames().front();
    if (option.get_items_expected_max() > 0) out.value = value_name(type);
    return out;
}

manual::Command describe(const CLI::App& app) {
    manual::Command out{.name = app.get_name(), .text = app.get_description()};
    for (const auto* option : app.get_options())
        (option->get_positional() ? out.arguments : out.options).push_back(describe(*option));
    for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
        out.commands.push_back(describe(*command));
    return out;
}

/// A first word that is no command, which CLI11 would only miss one after.
std::optional<std::string> unknown_command(const CLI::App& app, int argc, const char* const* argv) {
    if (argc < 2) return std::nullopt;
    const std::string_view word(argv[1]);
    if (word.empty() || word.starts_with('-')) return std::nullopt;
    std::vector<std::string> names;
    for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
    if (std::ranges::find(names, word) != names.end()) return std::nullopt;
    const std::vector<std::string_view> candidates(names.begin(), names.end());
    const auto near = config::nearest(word, candidates);
    return fmt::format("unknown command '{}'{}", word,
                       near ? fmt::format("; did you mean '{}'?", *near)
                            : std::string("; `penstock --help` lists them"));
}

}  // namespace

ExitStatus run_command_line(int argc, const char* const* argv, const upgrade::Program& program) {
    CLI::App app(title, "penstock");
    std::function<ExitStatus()> action;
    add_everything(app, action, program);
    if (const auto message = unknown_command(app, argc, argv)) {
        fmt::print(stderr, "penstock: {}\n", *message);
        return ExitStatus::invalid_usage;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? ExitStatus::success : ExitStatus::invalid_usage;
    }
    return action();
}

manual::Command describe_command_line() {
    CLI::App app(title, "penstock");
    std::function<ExitStatus()> action;
    const upgrade::Program none;
    add_everything(app, action, none);
    return describe(app);
}

}  // namespace penstock::app
