#include "app/client/commands.hpp"

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/client/answer_view.hpp"
#include "app/client/command_target.hpp"
#include "app/client/configuration_commands.hpp"
#include "app/client/events_view.hpp"
#include "app/client/explain_view.hpp"
#include "app/client/follow_events.hpp"
#include "app/client/sessions_view.hpp"
#include "app/client/top.hpp"
#include "config/value.hpp"

namespace penstock::app::client {

namespace {

using Action = std::function<ExitStatus()>;

// One command runs per process, so that all of them can share what they have in common.
CommandTarget target;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

CLI::Validator duration() {
    return {[](const std::string& text) {
                const auto parsed = config::parse_duration(text);
                return parsed ? std::string() : parsed.error();
            },
            "DURATION"};
}

// CLI11 takes -1 for a large unsigned number.
CLI::Validator whole_number() {
    return {[](const std::string& text) {
                const bool whole = text.find_first_not_of("0123456789") == std::string::npos;
                return whole ? std::string() : "'" + text + "' is no whole number";
            },
            "NUMBER"};
}

// What a script's unset variable leaves would mean "any".
CLI::Validator not_empty() {
    return {[](const std::string& text) {
                return text.empty() ? std::string("it may not be empty") : std::string();
            },
            "TEXT"};
}

CLI::Validator backend_name() {
    return {[](const std::string& text) {
                const auto parsed = parse_backend_name(text);
                return parsed ? std::string() : parsed.error();
            },
            "UPSTREAM/BACKEND"};
}

CLI::Validator admin_address() {
    return {[](const std::string& text) {
                const auto parsed = parse_admin_address(text);
                return parsed ? std::string() : parsed.error();
            },
            "ADDRESS"};
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      bool with_json = true) {
    auto* command = app.add_subcommand(name, description);
    command
        ->add_option("-a,--admin", target.admin,
                     "Admin address of the running proxy: unix:PATH, host:port or http://host:port "
                     "[its unix socket]")
        ->check(admin_address());
    command->add_option("--token-file", target.token_file, "File with the bearer token")
        ->type_name("FILE");
    if (with_json)
        command->add_flag("-j,--json", target.as_json, "Print the answer of the API as it is");
    return command;
}

ExitStatus show(const Request& request, const View& view) {
    return ask_and_show(target, request, view);
}

/// A change: what was done in one sentence, then what the proxy says about it.
ExitStatus change(const Request& request, const std::string& done) {
    return show(request, [&done](const json::value& answer, const Canvas& canvas) {
        return answer_view(done, answer, canvas);
    });
}

void add_plan(CLI::App& app, Action& action) {
    static PlanOptions options;
    auto* command = add_command(app, "plan", "What a reload would change; changes nothing");
    command
        ->add_option("-c,--config", options.file,
                     "Of this file, - for standard input [the one that the proxy reads]")
        ->type_name("FILE")
        ->check(not_empty());
    command->add_flag("-e,--exit-code", options.exit_code, "Exit with 4 if there are changes");
    command->callback([&action] { action = [] { return plan(target, options); }; });
}

void add_reload(CLI::App& app, Action& action) {
    static std::string digest;
    auto* command = add_command(app, "reload", "Read the configuration again and apply it");
    command->add_option("-e,--expect", digest, "Only what the plan with this digest showed")
        ->check(not_empty());
    command->callback([&action] { action = [] { return reload(target, digest); }; });
}

void add_upgrade(CLI::App& app, Action& action) {
    auto* command = add_command(app, "upgrade",
                                "Start the program now on disk, which takes over from this one");
    command->callback([&action] { action = [] { return upgrade(target); }; });
}

void add_status(CLI::App& app, Action& action) {
    auto* command = add_command(app, "status", "Listeners, upstreams and backends on one screen");
    command->callback([&action] { action = [] { return show_status(target); }; });
}

void add_ready(CLI::App& app, Action& action) {
    static std::string listener, upstream;
    static bool live = false;
    auto* command =
        add_command(app, "ready", "Whether clients shall come; tells it by its status", false);
    auto* of_listener =
        command->add_option("-l,--listener", listener, "Of this listener")->check(not_empty());
    auto* of_upstream =
        command->add_option("-u,--upstream", upstream, "With this upstream")->check(not_empty());
    command->add_flag("--live", live, "Whether all workers live, ready or not")
        ->excludes(of_listener, of_upstream);
    command->callback([&action] {
        action = [] {
            return show_readiness(target, live ? "/livez"
                                               : with_query("/readyz", {{"listener", listener},
                                                                        {"upstream", upstream}}));
        };
    });
}

void add_top(CLI::App& app, Action& action) {
    auto* command = add_command(app, "top", "The same, live in the terminal; q leaves", false);
    command->callback([&action] { action = [] { return with_options(target, top); }; });
}

void add_sessions(CLI::App& app, Action& action) {
    static std::string listener, upstream, backend, source, older;
    static std::size_t limit = 1000;
    auto* command = add_command(app, "sessions", "Live connections");
    command->add_option("-l,--listener", listener, "Only those of this listener");
    command->add_option("-u,--upstream", upstream, "Only those of this upstream");
    command->add_option("-b,--backend", backend, "Only those of this backend");
    command->add_option("-s,--source", source, "Only clients of this network, such as 10.0.0.0/8");
    command->add_option("--older", older, "Only those that are older, such as 10m")
        ->check(duration());
    command->add_option("-n,--limit", limit, "At most so many")
        ->check(whole_number())
        ->capture_default_str();
    command->callback([&action] {
        action = [] {
            const auto path = with_query("/api/v1/sessions", {{"listener", listener},
                                                              {"upstream", upstream},
                                                              {"backend", backend},
                                                              {"source", source},
                                                              {"older", older},
                                                              {"limit", std::to_string(limit)}});
            return show({.target = path}, [](const json::value& sessions, const Canvas& canvas) {
                return sessions_view(sessions, limit, canvas);
            });
        };
    });
}

void add_closes(CLI::App& app, Action& action) {
    static std::string reason, upstream, limit;
    auto* command = add_command(app, "closes", "Lately closed connections and their reasons");
    command->add_option("-r,--reason", reason, "Only those with this reason")->type_name("REASON");
    command->add_option("-u,--upstream", upstream, "Only those of this upstream");
    command->add_option("-n,--limit", limit, "At most so many")->check(whole_number());
    command->callback([&action] {
        action = [] {
            const auto path = with_query(
                "/api/v1/closes", {{"reason", reason}, {"upstream", upstream}, {"limit", limit}});
            return show({.target = path}, closes_view);
        };
    });
}

/// An order that ends sessions, now or over a time.
ExitStatus end_sessions(const Request& request, const std::string& subject, bool dry_run) {
    return show(request, [&](const json::value& answer, const Canvas& canvas) {
        return ending_view(subject, dry_run, answer, canvas);
    });
}

ExitStatus kill(const std::string& id, const std::string& backend, const CloseOptions& options) {
    if (backend.empty()) return change(kill_session(id), fmt::format("session {}: ended", id));
    return end_sessions(kill_backend(*parse_backend_name(backend), options), "backend " + backend,
                        options.dry_run);
}

void add_kill(CLI::App& app, Action& action) {
    static std::string id, backend;
    static CloseOptions options;
    auto* command = add_command(app, "kill", "End a session, or those of a backend");
    auto* one = command->add_option("id", id, "The session, as `sessions` shows it");
    auto* several = command->add_option("-b,--backend", backend, "Sessions of this backend")
                        ->check(backend_name())
                        ->excludes(one);
    command->add_option("--over", options.over, "Spread evenly over this time, such as 30s")
        ->check(duration())
        ->needs(several);
    command->add_option("--share", options.share, "This share of them, idle ones first [1.0]")
        ->check(CLI::Range(0.0, 1.0))
        ->needs(several);
    command->add_flag("-n,--dry-run", options.dry_run, "Only say what would be done")
        ->needs(several);
    command->callback([&action, one, several] {
        if (one->empty() && several->empty())
            throw CLI::RequiredError("the ID of a session, or --backend UPSTREAM/BACKEND");
        action = [] { return kill(id, backend, options); };
    });
}

ExitStatus set_backend(const std::string& backend, const std::string& verb, std::uint64_t weight) {
    const auto name = *parse_backend_name(backend);
    if (verb == "weight")
        return change(set_weight(name, weight),
                      fmt::format("backend {}: weight {}, until it is reset", backend, weight));
    if (verb == "reset")
        return change(reset_backend(name), fmt::format("backend {}: as configured", backend));
    return change(set_state(name, verb),
                  fmt::format("backend {}: {}, until it is reset", backend, verb));
}

void add_backend(CLI::App& app, Action& action) {
    static std::string backend, verb;
    static std::optional<std::uint64_t> weight;
    auto* command = add_command(app, "backend",
                                "Administrative state of a backend: ready, drain, maintenance, "
                                "weight N, or reset to drop what was overridden");
    command->add_option("backend", backend, "Which one")->required()->check(backend_name());
    command->add_option("state", verb, "What it becomes")
        ->required()
        ->check(CLI::IsMember({"ready", "drain", "maintenance", "weight", "reset"}));
    command->add_option("n", weight, "The weight")->check(whole_number());
    command->callback([&action] {
        if (verb == "weight" && !weight) throw CLI::RequiredError("weight N, a whole number,");
        if (verb != "weight" && weight)
            throw CLI::ValidationError("n", fmt::format("{} takes no number", verb));
        action = [] { return set_backend(backend, verb, weight.value_or(0)); };
    });
}

void add_drain(CLI::App& app, Action& action) {
    static std::string listener;
    auto* drain_command = add_command(app, "drain", "Readiness turns 503; accepting goes on");
    drain_command->add_option("listener", listener, "Which listener [the whole process]");
    drain_command->callback([&action] {
        action = [] {
            return change(drain("drain", listener),
                          (listener.empty() ? "the process" : "listener " + listener) +
                              ": draining, /readyz answers 503, accepting goes on");
        };
    });
    auto* undrain_command = add_command(app, "undrain", "Readiness comes back");
    undrain_command->add_option("listener", listener, "Which listener [the whole process]");
    undrain_command->callback([&action] {
        action = [] {
            return change(drain("undrain", listener),
                          (listener.empty() ? "the process" : "listener " + listener) +
                              ": no longer draining");
        };
    });
}

void add_pause(CLI::App& app, Action& action) {
    static std::string upstream, max;
    auto* pause_command = add_command(app, "pause", "Hold the new clients of an upstream");
    pause_command->add_option("upstream", upstream, "Which one")->required();
    pause_command->add_option("-m,--max", max, "Resume by itself after this time, such as 60s")
        ->check(duration());
    pause_command->callback([&action] {
        action = [] {
            return change(pause(upstream, max),
                          fmt::format("upstream {}: paused, new clients are held", upstream));
        };
    });
    auto* resume_command = add_command(app, "resume", "Let the held clients of an upstream go on");
    resume_command->add_option("upstream", upstream, "Which one")->required();
    resume_command->callback([&action] {
        action = [] {
            return change(resume(upstream), fmt::format("upstream {}: resumed", upstream));
        };
    });
}

void add_rebalance(CLI::App& app, Action& action) {
    static std::string upstream;
    static CloseOptions options;
    auto* command = add_command(
        app, "rebalance", "Close connections above each backend's fair share, idle ones first");
    command->add_option("upstream", upstream, "Which one")->required();
    command->add_option("--over", options.over, "Spread evenly over this time, such as 10m")
        ->check(duration());
    command->add_option("--max-share", options.share, "At most this share of all connections")
        ->check(CLI::Range(0.0, 1.0));
    command->add_flag("-n,--dry-run", options.dry_run, "Only say what would be done");
    command->callback([&action] {
        action = [] {
            return end_sessions(rebalance(upstream, options), "upstream " + upstream,
                                options.dry_run);
        };
    });
}

ExitStatus change_split(const std::string& listener, const std::vector<std::string>& words) {
    std::string shown;
    for (const auto& text : words) shown += " " + text;
    return change(split(listener, *parse_split(words)),
                  fmt::format("listener {}:{}, until the file changes them", listener, shown));
}

void add_split(CLI::App& app, Action& action) {
    static std::string listener;
    static std::vector<std::string> words;
    auto* command = add_command(app, "split", "Change the weights of a listener's split");
    command->add_option("listener", listener, "Which one")->required();
    command->add_option("weights", words, "Each as UPSTREAM=N, such as v1=95 v2=5")->required();
    command->callback([&action] {
        if (const auto weights = parse_split(words); !weights)
            throw CLI::ValidationError("weights", weights.error());
        action = [] { return change_split(listener, words); };
    });
}

void add_explain(CLI::App& app, Action& action) {
    static std::string listener, source, sni, alpn;
    auto* command =
        add_command(app, "explain", "Which route and backend a connection would get now, and why");
    command->add_option("listener", listener, "Where it would come in")->required();
    command->add_option("-s,--source", source, "The client's IP address");
    command->add_option("--sni", sni, "The server name it would ask for");
    command->add_option("--alpn", alpn, "The protocols it would offer, such as h2,http/1.1");
    command->callback([&action] {
        action = [] {
            const auto path = with_query(
                "/api/v1/explain",
                {{"listener", listener}, {"source", source}, {"sni", sni}, {"alpn", alpn}});
            return show({.target = path}, explain_view);
        };
    });
}

void add_events(CLI::App& app, Action& action) {
    static bool follow = false;
    static std::string since;
    auto* command = add_command(app, "events", "Recent changes of state");
    command->add_flag("-f,--follow", follow, "Go on with those that happen");
    command
        ->add_option("--since", since, "Only those after the one with this number, seq of --json")
        ->check(whole_number());
    command->callback([&action] {
        action = [] {
            const Request past{.target = with_query("/api/v1/events", {{"since", since}})};
            if (!follow) return show(past, events_view);
            return with_options(target, [&past](const ClientOptions& options) {
                return follow_events(options, past, target.as_json);
            });
        };
    });
}

}  // namespace

void add_commands(CLI::App& app, std::function<ExitStatus()>& action) {
    add_plan(app, action);
    add_reload(app, action);
    add_upgrade(app, action);
    add_status(app, action);
    add_ready(app, action);
    add_top(app, action);
    add_sessions(app, action);
    add_closes(app, action);
    add_kill(app, action);
    add_backend(app, action);
    add_drain(app, action);
    add_pause(app, action);
    add_rebalance(app, action);
    add_split(app, action);
    add_explain(app, action);
    add_events(app, action);
}

}  // namespace penstock::app::client
