#include "app/reload/reloader.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "app/diagnostics.hpp"
#include "app/log_options.hpp"
#include "app/off_thread.hpp"
#include "app/with_commas.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using admin::Outcome;
using admin::Plan;
using admin::Refusal;
using admin::Reloaded;
using asio::awaitable;

namespace {

constexpr const char* changed_file = "changed file";  // who asks

std::string by(const std::string& actor) { return actor.empty() ? "" : ", by " + actor; }

}  // namespace

struct Reloader::Prepared {
    Server::Change server;
    AdminApi::Change admin;
    std::function<void()> log;  // empty: it stays as it is
};

Reloader::Reloader(const Parts& parts, std::string file, std::vector<std::string> files)
    : parts_(parts),
      from_pipe_(!file.empty() && files.empty()),
      file_(from_pipe_ ? std::string() : std::move(file)),
      files_({parts.context, parts.server, parts.log, [this] { return look(); },
              [this] { request(changed_file); }}),
      turn_(parts.context),
      last_{.time = wall_now()},
      last_success_(last_.time) {
    turn_.expires_at(asio::steady_timer::time_point::max());  // that would wake all who wait
    files_.follow(files, {}, FollowedFiles::Others::go);
}

Reloader::~Reloader() = default;

void Reloader::stop(std::string why) {
    if (!std::exchange(stopped_, true)) why_stopped_ = std::move(why);
    files_.stop();
    turn_.cancel();
}

awaitable<Reloader::Turn> Reloader::take_turn() {
    while (busy_ && !stopped_) {
        auto waiting = turn_.async_wait(net::as_result);
        co_await std::move(waiting);
    }
    busy_ = true;
    co_return Turn(*this);
}

void Reloader::give_turn() {
    busy_ = false;
    turn_.cancel();
}

awaitable<Candidate> Reloader::read(admin::PlanRequest request) {
    auto reading =
        off_thread(parts_.context, reader_,
                   [asked = std::move(request), file = file_, running = parts_.server.config_ptr(),
                    &tickets = parts_.ticket_keys, in_force = parts_.tls_files.in_force(),
                    &sandbox = parts_.sandbox] {
                       return read_candidate(asked, file, running, tickets, in_force, sandbox);
                   });
    co_return co_await std::move(reading);
}

LiveState Reloader::live_state(const Candidate& candidate) const {
    const auto& config = parts_.server.config();
    LiveState live{.splits = parts_.admin.service().splits_under(config), .moved = candidate.moved};
    for (std::size_t i = 0; i < config.listeners.size(); ++i)
        live.listeners[config.listeners[i].name].all =
            parts_.server.listeners()[i]->account->connections.used();
    for (std::size_t i = 0; i < config.upstreams.size(); ++i) {
        auto& monitor = parts_.monitors.of(i);
        for (const auto& status : monitor.backends())
            live.backends[{monitor.name(), status.backend->name()}].all += status.backend->active();
        for (const auto& [name, kept] : monitor.overrides())
            live.overrides[{monitor.name(), name}] = {kept.state, kept.weight};
    }
    add_old_sessions(live);
    return live;
}

void Reloader::add_old_sessions(LiveState& live) const {
    const auto add = [](LiveState::Sessions& sessions, std::uint64_t all, std::uint64_t beyond) {
        const std::uint64_t told = all - std::min(all, beyond);
        sessions += {.all = told, .old = told, .out_of_reach = beyond};
    };
    auto [all, out_of_reach] = parts_.admin.service().old_gauges();
    for (const auto& [listener, sessions] : all.listeners)
        add(live.listeners[listener], sessions, out_of_reach.listeners[listener]);
    for (const auto& [backend, now] : all.backends)
        add(live.backends[backend], now.active, out_of_reach.backends[backend].active);
}

// Comparing takes a while, too.
awaitable<Plan> Reloader::plan_of(const Candidate& candidate) {
    Plan plan;
    if (candidate.valid()) {
        auto making = off_thread(
            parts_.context, reader_,
            [running = parts_.server.config_ptr(), wanted = candidate.wanted,
             live = live_state(candidate)] { return make_plan(*running, *wanted, live); });
        plan = co_await std::move(making);
    }
    plan.problems = candidate.problems;
    plan.beyond_sandbox = candidate.beyond_sandbox;
    co_return plan;
}

awaitable<Outcome<Plan>> Reloader::plan(admin::PlanRequest request) {
    if (file_.empty() && !request.text) co_return std::unexpected(Refusal{409, no_file()});
    auto reading = read(std::move(request));
    const Candidate candidate = co_await std::move(reading);
    auto planning = plan_of(candidate);
    auto plan = co_await std::move(planning);
    co_return plan;
}

awaitable<FollowedFiles::Look> Reloader::look() {
    auto reading = read({});
    Candidate candidate = co_await std::move(reading);
    auto planning = plan_of(candidate);
    auto plan = co_await std::move(planning);
    co_return FollowedFiles::Look{std::move(candidate.files), std::move(candidate.patterns),
                                  std::move(plan)};
}

awaitable<Outcome<Reloaded>> Reloader::reload(admin::ReloadRequest request, std::string actor) {
    // Nothing has failed: nobody could mend it.
    if (file_.empty()) co_return std::unexpected(Refusal{409, no_file()});
    auto taking = take_turn();
    const Turn turn = co_await std::move(taking);
    if (auto refusal = why_not()) co_return std::unexpected(*std::move(refusal));
    parts_.manager.notify(reloading_lines(SteadyClock().now()));
    Outcome<Reloaded> outcome;
    try {
        auto doing = carry_out(std::move(request), actor);
        outcome = co_await std::move(doing);
    } catch (const std::exception& e) {  // no memory
        note_failure({e.what()}, actor);
        outcome = std::unexpected(Refusal{500, fmt::format("the reload failed: {}", e.what())});
    }
    if (!stopped_) parts_.manager.notify("READY=1");
    co_return outcome;
}

std::optional<Refusal> Reloader::why_not() const {
    if (stopped_) return Refusal{409, why_stopped_};
    if (!parts_.server.running())
        return Refusal{409, "the proxy is starting; try again in a moment"};
    return std::nullopt;
}

void Reloader::request(std::string actor) {
    requester_ = std::move(actor);
    if (std::exchange(requested_, true) || stopped_) return;
    asio::co_spawn(
        parts_.context,
        [](Reloader& self) -> awaitable<void> {
            {
                auto taking = self.take_turn();
                const Turn turn = co_await std::move(taking);
            }
            // Whoever asks from here on may have changed the file after it is read now.
            self.requested_ = false;
            if (self.stopped_) co_return;
            auto reloading = self.reload({}, self.requester_);
            const auto outcome = co_await std::move(reloading);
            if (!outcome) self.parts_.log.error("reload: {}", outcome.error().error);
        }(*this),
        net::rethrow_failure);
}

awaitable<Outcome<Reloaded>> Reloader::carry_out(admin::ReloadRequest request, std::string actor) {
    auto reading = read({});
    Candidate candidate = co_await std::move(reading);
    auto planning = plan_of(candidate);
    Reloaded reloaded;
    reloaded.plan = co_await std::move(planning);
    if (auto refusal = why_not()) co_return std::unexpected(*std::move(refusal));
    if (!candidate.valid()) {
        files_.follow(candidate.files, candidate.patterns,
                      FollowedFiles::Others::stay);  // where it will be mended
        std::vector<std::string> errors;
        for (const auto& problem : candidate.problems)
            if (problem.severity == config::Severity::error)
                errors.push_back(fmt::format("{}: {}", place_of(problem), problem.message));
        reloaded.error = "the configuration is not valid; the one of before stays in force";
        note_failure(std::move(errors), actor);
        co_return reloaded;
    }
    if (!request.expect.empty() && request.expect != reloaded.plan.digest) {
        reloaded.error = fmt::format(
            "the plan is another one now ({}): nothing was changed",
            reloaded.plan.digest.empty() ? "nothing to change" : "digest " + reloaded.plan.digest);
        co_return reloaded;
    }
    if (!reloaded.plan.changes.empty()) {
        auto prepared = prepare(candidate);
        if (!prepared) {
            reloaded.error = prepared.error();
            files_.follow(candidate.files, candidate.patterns, FollowedFiles::Others::stay);
            note_failure({prepared.error()}, actor);
            co_return reloaded;
        }
        auto changing = put_in_force(candidate, *std::move(prepared));
        if (!co_await std::move(changing)) co_return std::unexpected(Refusal{409, why_stopped_});
    } else {
        parts_.tls_files.look_again();
    }
    files_.follow(candidate.files, candidate.patterns, FollowedFiles::Others::go);
    // One change may be seen twice, or be in force by a signal already.
    if (actor == changed_file && reloaded.plan.changes.empty() && last_.ok) co_return reloaded;
    note_success(candidate, reloaded.plan, actor);
    co_return reloaded;
}

std::expected<Reloader::Prepared, std::string> Reloader::prepare(const Candidate& candidate) {
    parts_.access_files.prepare(*candidate.effective);
    parts_.tls_files.prepare(*candidate.effective);
    Prepared prepared;
    const auto& running = parts_.server.config();
    if (candidate.effective->log != running.log) {
        auto log = parts_.log.prepare(logger_options(candidate.effective->log));
        if (!log) return std::unexpected("cannot open the log: " + log.error());
        prepared.log = *std::move(log);
    }
    auto doors = parts_.admin.prepare(candidate.effective->admin, candidate.tls.contexts());
    if (!doors) return std::unexpected(doors.error());
    prepared.admin = *std::move(doors);
    auto server = parts_.server.prepare(candidate.effective);
    if (!server) {
        parts_.admin.withdraw();
        return std::unexpected(server.error());
    }
    prepared.server = *std::move(server);
    prepared.server.max_connections = candidate.limit->connections;
    prepared.server.access = candidate.access.policies;
    return prepared;
}

void Reloader::withdraw(const Prepared& prepared) {
    parts_.admin.withdraw();
    Server::withdraw(prepared.server);
}

// Who is new is found and checked, and sets are built; nobody hears of it yet. `change` is what has
// to be abandoned if this throws.
awaitable<void> Reloader::meet_backends(const Candidate& candidate, Monitors::Change& change) {
    auto& monitors = parts_.monitors;
    const ConfigPtr before = parts_.server.config_ptr();
    const ConfigPtr config = candidate.effective;
    auto making = off_thread(
        parts_.context, monitors.builder(),
        [&monitors, before, config, inputs = candidate.inputs, departed = monitors.departed()] {
            return monitors.make_fresh(*before, *config, inputs);
        });
    auto fresh = co_await std::move(making);
    monitors.begin_change(std::move(fresh), *before, *config, candidate.inputs, change);
    auto verdicts = monitors.first_verdicts(change);
    co_await std::move(verdicts);
    Monitors::plan(change);
    auto building = off_thread(parts_.context, monitors.builder(),
                               [plans = change.plans] { return Monitors::build(plans); });
    change.sets = co_await std::move(building);
}

// Without memory this may fail, as long as it waits, or the process may begin to stop: then
// everything is as it was.
awaitable<bool> Reloader::put_in_force(Candidate& candidate, Prepared prepared) {
    auto& monitors = parts_.monitors;
    const ConfigPtr before = parts_.server.config_ptr();
    const ConfigPtr config = candidate.effective;
    Monitors::Change change;
    std::exception_ptr failure;
    try {
        auto meeting = meet_backends(candidate, change);
        co_await std::move(meeting);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || stopped_) {
        monitors.abandon_change(std::move(change), *before);
        withdraw(prepared);
        if (failure) std::rethrow_exception(failure);
        co_return false;
    }
    // From here to the end without a pause: nobody sees one half of it.
    parts_.tls_files.keep_unchanged(candidate.tls, *config);
    prepared.server.tls = candidate.tls.contexts();
    // Their tables are large: none of the workers is to be the last that lets go of them.
    auto replaced = monitors.snapshots();
    prepared.server.snapshots = monitors.finish_change(change, *config);
    prepared.server.splits = parts_.admin.service().splits_under(*config);
    if (prepared.log) prepared.log();
    const auto applied = std::make_shared<asio::steady_timer>(parts_.context);
    const auto all_have_it = std::make_shared<bool>(false);
    parts_.server.apply(std::move(prepared.server),
                        [&context = parts_.context, applied, all_have_it] {
                            asio::post(context, [applied, all_have_it] {
                                *all_have_it = true;
                                applied->cancel();
                            });
                        });
    monitors.follow_change(std::move(change), *config);
    parts_.access_files.follow(config, std::move(candidate.access.files));
    // Files may have changed under settings that have not.
    const TlsContexts contexts = candidate.tls.contexts();
    for (const auto& [upstream, context] : contexts.upstreams) monitors.set_tls(upstream, context);
    parts_.tls_files.follow(config, std::move(candidate.tls));
    parts_.admin.service().follow_configuration(*before, *candidate.limit);
    parts_.admin.apply(std::move(prepared.admin));
    applied->expires_after(std::chrono::seconds(2));  // a worker that is stuck has it in its mail
    while (!*all_have_it && SteadyClock().now() < TimePoint(applied->expiry().time_since_epoch())) {
        auto waiting = applied->async_wait(net::as_result);
        co_await std::move(waiting);
    }
    if (*all_have_it) parts_.server.settle();
    monitors.builder().run([freed = std::move(replaced)] {});
    co_return true;
}

void Reloader::note_success(const Candidate& candidate, const Plan& plan,
                            const std::string& actor) {
    ++succeeded_;
    last_ = {.time = wall_now(), .ok = true, .errors = {}};
    last_success_ = last_.time;
    restart_required_.clear();
    std::size_t changes = 0;
    for (const auto& change : plan.changes) {
        using Op = admin::PlannedChange::Op;
        if (change.op == Op::restart) restart_required_.push_back(change.what + "." + change.key);
        if (change.op == Op::restart || change.op == Op::kept_override) continue;
        ++changes;
        parts_.log.info("reload: {}", in_words(change));
    }
    for (const auto& problem : candidate.problems)
        parts_.log.warn("reload: {}: {}", place_of(problem), problem.message);
    for (const auto& key : restart_required_)
        parts_.log.warn("reload: {} needs a restart; the value of before stays", key);
    const auto text = changes == 0 ? std::string("nothing has changed")
                                   : fmt::format("{} change{} in force", with_commas(changes),
                                                 changes == 1 ? " is" : "s are");
    parts_.log.info("reload: {}{}", text, by(actor));
    parts_.admin.service().record_reload(true, text, actor);
}

void Reloader::note_failure(std::vector<std::string> errors, const std::string& actor) {
    ++failed_;
    for (const auto& error : errors) parts_.log.error("reload: {}", error);
    parts_.log.error("reload: nothing was changed{}", by(actor));
    parts_.admin.service().record_reload(
        false, errors.empty() ? "nothing was changed" : errors.front(), actor);
    last_ = {.time = wall_now(), .ok = false, .errors = std::move(errors)};
}

std::optional<std::string> Reloader::only_here() const {
    if (from_pipe_)
        return "the configuration came through a pipe, which a new process cannot read; start the "
               "proxy with -c FILE to be able to upgrade it";
    if (file_.starts_with("/dev/fd/"))
        return fmt::format(
            "the configuration is {}, a descriptor that a new process does not have; start the "
            "proxy with -c FILE to be able to upgrade it",
            file_);
    return std::nullopt;
}

std::string Reloader::no_file() const {
    if (from_pipe_)
        return "the configuration came through a pipe, which cannot be read again; start the "
               "proxy with -c FILE to be able to reload";
    return "this proxy runs without a configuration file";
}

}  // namespace penstock::app
