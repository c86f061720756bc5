#include "admin/bodies.hpp"

#include <array>
#include <cmath>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "config/names.hpp"

namespace penstock::admin {

namespace json = boost::json;

namespace {

// Whole numbers as such, others with as many digits as anybody wants to read.
json::value number(double value) {
    const double rounded = std::round(value * 1000) / 1000;
    constexpr double exact = 9007199254740992.0;  // 2^53
    if (rounded == std::floor(rounded) && std::abs(rounded) < exact)
        return static_cast<std::int64_t>(rounded);
    return rounded;
}

json::value number(const std::optional<double>& value) {
    return value ? number(*value) : json::value(nullptr);
}

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value(nullptr) : json::value(json::string(text));
}

json::array texts(const std::vector<std::string>& lines) {
    json::array array;
    for (const auto& line : lines) array.emplace_back(line);
    return array;
}

std::string_view name_of(balancer::CircuitState state) noexcept {
    static constexpr std::array<std::string_view, 3> names{"closed", "open", "half_open"};
    return names[std::to_underlying(state)];
}

json::value role_or_null(Role role) {
    return role == Role::none ? json::value(nullptr)
                              : json::value(json::string(penstock::name_of(role)));
}

json::value to_json(const WorkerView& worker) {
    return json::object{{"id", worker.id},
                        {"connections", worker.connections},
                        {"busy", number(worker.busy)},
                        {"lag_ms", number(worker.lag_ms)},
                        {"handed_off", worker.totals.handed_off},
                        {"stuck", worker.stuck}};
}

json::value to_json(const CertificateView& certificate) {
    return json::object{{"file", certificate.file},
                        {"subject", certificate.subject},
                        {"names", texts(certificate.names)},
                        {"not_after", time_text(certificate.not_after)},
                        {"s_left", number(certificate.s_left)}};
}

json::array certificates_of(const ListenerView& listener) {
    json::array array;
    for (const auto& certificate : listener.certificates) array.push_back(to_json(certificate));
    return array;
}

json::value to_json(const ListenerView& listener) {
    json::array bind;
    for (const auto& address : listener.bind) bind.emplace_back(address);
    const auto& totals = listener.figures.totals;
    std::uint64_t refused = 0;
    for (std::size_t i = 0; i < close_reason_count; ++i)
        if (is_refusal(static_cast<CloseReason>(i)))
            refused += listener.figures.closed_by(static_cast<CloseReason>(i));
    json::object object{
        {"name", listener.name},
        {"bind", std::move(bind)},
        {"upstream", text_or_null(listener.upstream)},
        {"role", role_or_null(listener.role)},
        {"connections", json::object{{"active", listener.active},
                                     {"limit", listener.limit},
                                     {"total", totals.accepted},
                                     {"refused", refused}}},
        {"bytes", json::object{{"to_backend", totals.bytes_to_backend},
                               {"to_client", totals.bytes_to_client}}},
        {"rates", json::object{{"new_per_s", number(listener.rates.accepted)},
                               {"to_backend_bytes_per_s", number(listener.rates.bytes_to_backend)},
                               {"to_client_bytes_per_s", number(listener.rates.bytes_to_client)}}},
        {"accept_queue",
         json::object{{"length", listener.queue.length}, {"limit", listener.queue.limit}}},
        {"draining", listener.draining}};
    if (listener.tls) object["certificates"] = certificates_of(listener);
    if (!listener.split.empty()) {
        json::object split;
        for (const auto& [upstream, weight] : listener.split) split[upstream] = weight;
        object["split"] = std::move(split);
        object["split_override"] = text_or_null(listener.split_by_whom);
    }
    return object;
}

json::value to_json(const CheckView& check) {
    json::value last = nullptr;
    if (check.last)
        last = json::object{{"ok", check.last->ok},
                            {"ms", number(check.last->ms)},
                            {"error", text_or_null(check.last->error)},
                            {"time", time_text(check.last->at)}};
    return json::object{{"state", !check.settled ? "unknown"
                                  : check.up     ? "up"
                                                 : "down"},
                        {"role", role_or_null(check.role)},
                        {"dispute", text_or_null(check.dispute)},
                        {"enabled", check.enabled},
                        {"last", std::move(last)},
                        {"since", check.since ? json::value(time_text(*check.since)) : nullptr}};
}

json::value override_of(const BackendView& backend) {
    if (!backend.override) return nullptr;
    json::object object;
    if (backend.override->state) object["state"] = config::name_of(*backend.override->state);
    if (backend.override->weight) object["weight"] = *backend.override->weight;
    object["by"] = backend.override->by;
    object["since"] = time_text(backend.override->since);
    return object;
}

json::object failures_of(const metrics::BackendTotals& totals) {
    json::object failures;
    for (std::size_t i = 1; i < attempt_error_count; ++i)
        failures[penstock::name_of(static_cast<AttemptError>(i))] = totals.connect_failures[i];
    return failures;
}

json::value to_json(const Quantiles& quantiles) {
    return json::object{{"p50", number(quantiles.p50_ms)}, {"p99", number(quantiles.p99_ms)}};
}

json::value to_json(const BackendView& backend) {
    const auto& totals = backend.totals;
    return json::object{
        {"name", backend.name},
        {"address", backend.address},
        {"tier", backend.tier},
        {"state", config::name_of(backend.state)},
        {"override", override_of(backend)},
        {"available", backend.available},
        {"eligible", backend.eligible},
        {"excluded_by", text_or_null(backend.excluded_by)},
        {"why", text_or_null(backend.why)},
        {"check", to_json(backend.check)},
        {"circuit", json::object{{"state", name_of(backend.circuit.state)},
                                 {"cause", text_or_null(backend.circuit.cause)},
                                 {"retry_in_s", number(backend.circuit.retry_in_s)}}},
        {"weight", backend.weight},
        {"effective_weight", number(backend.effective_weight)},
        {"slow_start_s_left", number(backend.slow_start_s_left)},
        {"connections", json::object{{"active", backend.active},
                                     {"limit", backend.limit},
                                     {"connecting", backend.connecting},
                                     {"warm", backend.warm},
                                     {"total", totals.established}}},
        {"bytes", json::object{{"to_backend", totals.bytes_to_backend},
                               {"to_client", totals.bytes_to_client}}},
        {"failures", failures_of(totals)},
        {"connect_ms", to_json(backend.connect)},
        {"first_byte_ms", to_json(backend.first_byte)},
        {"rates", json::object{{"new_per_s", number(backend.rates.established)},
                               {"failed_per_s", number(backend.rates.failed)},
                               {"to_backend_bytes_per_s", number(backend.rates.bytes_to_backend)},
                               {"to_client_bytes_per_s", number(backend.rates.bytes_to_client)}}}};
}

json::value to_json(const SourceView& source) {
    return json::object{
        {"what", source.what},         {"answers", source.answers},
        {"failures", source.failures}, {"last_error", text_or_null(source.last_error)},
        {"backends", source.backends}, {"ignored", source.ignored}};
}

json::value to_json(const proxy::SessionInfo& session) {
    return json::object{{"id", proxy::to_string(session.id)},
                        {"listener", session.listener},
                        {"worker", session.worker},
                        {"client", session.client},
                        {"upstream", text_or_null(session.upstream)},
                        {"backend", text_or_null(session.backend)},
                        {"state", proxy::name_of(session.activity)},
                        {"age_s", number(seconds(session.age))},
                        {"idle_s", number(seconds(session.idle))},
                        {"bytes", json::object{{"to_backend", session.bytes_to_backend},
                                               {"to_client", session.bytes_to_client}}},
                        {"sni", text_or_null(session.server_name)}};
}

json::value to_json(const Explanation::Candidate& candidate) {
    return json::object{
        {"backend", candidate.backend},        {"address", candidate.address},
        {"active", candidate.active},          {"weight", number(candidate.weight)},
        {"score", number(candidate.score)},    {"excluded_by", text_or_null(candidate.excluded_by)},
        {"note", text_or_null(candidate.note)}};
}

json::value to_json(const Explanation::Limit& limit) {
    json::object object{{"name", limit.name}, {"used", limit.used}, {"limit", limit.limit}};
    if (!limit.rate.empty()) object["rate"] = limit.rate;
    return object;
}

json::value to_json(const OldProcess& process) {
    return json::object{{"pid", process.pid},
                        {"version", process.version},
                        {"connections", process.connections},
                        {"s_left", number(process.s_left)}};
}

json::value to_json(const LastReload& reload) {
    return json::object{
        {"time", time_text(reload.time)}, {"ok", reload.ok}, {"errors", texts(reload.errors)}};
}

json::value to_json(const SandboxView& sandbox) {
    return json::object{{"mode", sandbox.mode},
                        {"seccomp", sandbox.seccomp},
                        {"landlock", sandbox.landlock},
                        {"no_new_privs", sandbox.no_new_privs},
                        {"capabilities", sandbox.capabilities},
                        {"missing", texts(sandbox.missing)}};
}

template <typename T>
json::value list(const std::vector<T>& items) {
    json::array array;
    array.reserve(items.size());
    for (const auto& item : items) array.push_back(to_json(item));
    return array;
}

}  // namespace

std::string time_text(WallTime time) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(time);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                       (time - whole).count());
}

json::value to_json(const ProcessView& process) {
    return json::object{
        {"version", process.version},
        {"pid", process.pid},
        {"state", process.draining ? "draining" : "running"},
        {"uptime_s", number(seconds(process.uptime))},
        {"workers", list(process.workers)},
        {"connections", json::object{{"active", process.connections},
                                     {"limit", process.connection_limit},
                                     {"limit_cause", process.limit_cause}}},
        {"memory", json::object{{"resident_bytes", process.usage.resident_bytes},
                                {"limit_bytes", process.memory_limit},
                                {"overload", process.overload}}},
        {"last_reload", to_json(process.last_reload)},
        {"restart_required", texts(process.restart_required)},
        {"sandbox", to_json(process.sandbox)},
        {"old_processes", list(process.old_processes)},
        {"took_over_from",
         process.took_over_from == 0 ? json::value(nullptr) : json::value(process.took_over_from)}};
}

json::value to_json(const std::vector<ListenerView>& listeners) { return list(listeners); }

json::value to_json(const UpstreamView& upstream) {
    return json::object{
        {"name", upstream.name},
        {"balance", upstream.balance},
        {"panic", upstream.panic},
        {"role_conflict", upstream.role_conflict},
        {"available", upstream.available},
        {"eligible", upstream.eligible},
        {"connections",
         json::object{{"active", upstream.connections}, {"limit", upstream.connections_limit}}},
        {"queue", json::object{{"length", upstream.queued}, {"limit", upstream.queue_limit}}},
        {"held", upstream.held},
        {"paused", upstream.paused},
        {"pause_s_left", number(upstream.pause_s_left)},
        {"retries", json::object{{"total", upstream.totals.retries},
                                 {"denied", upstream.totals.retries_denied}}},
        {"sources", list(upstream.sources)},
        {"backends", list(upstream.backends)}};
}

json::value to_json(const std::vector<UpstreamView>& upstreams) { return list(upstreams); }
json::value to_json(const std::vector<proxy::SessionInfo>& sessions) { return list(sessions); }

json::value to_json(const Event& event) {
    json::object object{{"seq", event.seq}, {"time", time_text(event.time)}, {"kind", event.kind}};
    const std::pair<const char*, const std::string*> optional[] = {{"upstream", &event.upstream},
                                                                   {"backend", &event.backend},
                                                                   {"listener", &event.listener},
                                                                   {"from", &event.from},
                                                                   {"to", &event.to}};
    for (const auto& [key, value] : optional)
        if (!value->empty()) object[key] = *value;
    object["detail"] = event.detail;
    object["actor"] = text_or_null(event.actor);
    return object;
}

json::value to_json(const std::vector<Event>& events) { return list(events); }

json::value to_json(const Explanation& explanation) {
    return json::object{{"listener", explanation.listener},
                        {"route", text_or_null(explanation.route)},
                        {"condition", text_or_null(explanation.condition)},
                        {"tls", text_or_null(explanation.tls)},
                        {"upstream", text_or_null(explanation.upstream)},
                        {"balance", text_or_null(explanation.balance)},
                        {"outcome", explanation.outcome},
                        {"chosen", text_or_null(explanation.chosen)},
                        {"note", text_or_null(explanation.note)},
                        {"failing_sources", texts(explanation.failing_sources)},
                        {"candidates", list(explanation.candidates)},
                        {"limits", list(explanation.limits)}};
}

json::value to_json(const Done& done) {
    json::object object{{"ok", true}};
    if (!done.notes.empty()) object["notes"] = texts(done.notes);
    return object;
}

json::value to_json(const Ending& ending) {
    json::object object{{"sessions", ending.sessions}, {"closing", ending.closing}};
    if (!ending.per_backend.empty()) {
        json::object backends;
        for (const auto& [name, count] : ending.per_backend) backends[name] = count;
        object["backends"] = std::move(backends);
    }
    if (ending.old_sessions != 0)
        object["old_processes"] =
            json::object{{"sessions", ending.old_sessions}, {"closing", ending.old_closing}};
    if (!ending.notes.empty()) object["notes"] = texts(ending.notes);
    return object;
}

json::value to_json(const Overview& overview) {
    return json::object{{"status", to_json(overview.process)},
                        {"listeners", to_json(overview.listeners)},
                        {"upstreams", to_json(overview.upstreams)}};
}

json::value to_json(const Refusal& refusal) {
    return json::object{{"error", refusal.error}, {"details", texts(refusal.details)}};
}

}  // namespace penstock::admin
