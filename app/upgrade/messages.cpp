#include "app/upgrade/messages.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serializer.hpp>
#include <fmt/format.h>

#include "app/ledger/json_fields.hpp"
#include "app/ledger/ledger_fields.hpp"
#include "base/secret.hpp"
#include "config/names.hpp"
#include "net/tls/options.hpp"

namespace penstock::app {

template <typename A>
void fields(A& archive, typename A::template Of<TicketKeysLeft>& left) {
    archive("keys", left.keys);
    archive("age_ns", left.age);
}

}  // namespace penstock::app

namespace penstock::app::upgrade {

namespace json = boost::json;

// --- the fields of each message -----------------------------------------------------------------

namespace {

// Names of states stay what they are in the configuration.
void state_field(FieldWriter& archive, const char* key,
                 const std::optional<config::BackendState>& state) {
    if (state) archive(key, std::string(config::name_of(*state)));
}

void state_field(FieldReader& archive, const char* key,
                 std::optional<config::BackendState>& state) {
    std::string name;
    archive(key, name);
    state = config::backend_state_named(name);
}

void source_field(FieldWriter& archive, const std::optional<Prefix>& source) {
    if (source) archive("source", source->to_string());
}

void source_field(FieldReader& archive, std::optional<Prefix>& source) {
    std::string text;
    archive("source", text);
    if (auto prefix = Prefix::parse(text)) source = *prefix;
}

constexpr std::array<std::string_view, 9> order_names{
    "",      "kill_session", "count_sessions", "end_sessions", "change_backend", "drain_listener",
    "pause", "resume",       "closes"};

void kind_field(FieldWriter& archive, Order::Kind kind) {
    archive("order", std::string(order_names[std::to_underlying(kind)]));
}

void kind_field(FieldReader& archive, Order::Kind& kind) {
    std::string name;
    archive("order", name);
    const auto found = std::ranges::find(order_names, name);
    if (found != order_names.end()) kind = static_cast<Order::Kind>(found - order_names.begin());
}

}  // namespace

template <typename A>
void fields(A& archive, typename A::template Of<SocketEntry>& entry) {
    archive("bind", entry.bind);
    archive("bound", entry.bound);
    archive("listener", entry.listener);
    archive("count", entry.count);
    archive("unix_device", entry.unix_device);
    archive("unix_inode", entry.unix_inode);
    archive("passed_as", entry.passed_as);
    archive("passed_number", entry.passed_number);
}

template <typename A>
void fields(A& archive, typename A::template Of<BackendOverride>& change) {
    key_fields(archive, change.name);
    state_field(archive, "state", change.state);
    archive("weight", change.weight);
    archive("by", change.by);
    archive("since_ms", change.since);
    state_field(archive, "state_in_file", change.state_in_file);
    archive("weight_in_file", change.weight_in_file);
}

template <typename A>
void fields(A& archive, typename A::template Of<SplitOverride>& change) {
    archive("listener", change.listener);
    archive("weights", change.weights);
    archive("by", change.by);
    archive("weights_in_file", change.weights_in_file);
}

template <typename A>
void fields(A& archive, typename A::template Of<PauseLeft>& pause) {
    archive("upstream", pause.upstream);
    archive("left_ns", pause.left);
    archive("by", pause.by);
}

template <typename A>
void fields(A& archive, typename A::template Of<Figures>& figures) {
    archive("ledger", figures.ledger);
    archive("gauges", figures.gauges);
    archive("left_ns", figures.left);
    archive("takes_orders", figures.takes_orders);
    archive("memory", figures.memory);
}

template <typename A>
void fields(A& archive, typename A::template Of<OlderProcess>& process) {
    archive("pid", process.pid);
    archive("version", process.version);
    archive("last", process.last);
}

template <typename A>
void fields(A& archive, typename A::template Of<Manifest>& manifest) {
    archive("protocol", manifest.protocol);
    archive("version", manifest.version);
    archive("pid", manifest.pid);
    archive("started_ms", manifest.started);
    archive("sockets", manifest.sockets);
    archive("admin_sockets", manifest.admin_sockets);
    archive("overrides", manifest.overrides);
    archive("splits", manifest.splits);
    archive("pauses", manifest.pauses);
    archive("ticket_keys", manifest.ticket_keys);
    archive("draining", manifest.draining);
    archive("draining_listeners", manifest.draining_listeners);
    archive("gone", manifest.gone);
    archive("older", manifest.older);
}

template <typename A>
void fields(A& archive, typename A::template Of<Ready>& ready) {
    archive("pid", ready.pid);
    archive("version", ready.version);
}

template <typename A>
void fields(A& archive, typename A::template Of<Failed>& failed) {
    archive("reason", failed.reason);
}

template <typename A>
void fields(A& archive, typename A::template Of<SessionsRequest>& request) {
    archive("number", request.number);
    auto& filter = request.filter;
    archive("listener", filter.listener);
    archive("upstream", filter.upstream);
    archive("backend", filter.backend);
    source_field(archive, filter.source);
    archive("older_ns", filter.older);
    archive.even_zero("limit", filter.limit);
}

template <typename A>
void fields(A& archive, typename A::template Of<SessionsAnswer>& answer) {
    archive("number", answer.number);
    archive.as_it_is("sessions", answer.sessions);
}

template <typename A>
void fields(A& archive, typename A::template Of<SessionCount>& count) {
    archive("all", count.all);
    archive("old_enough", count.old_enough);
}

template <typename A>
void fields(A& archive, typename A::template Of<Order>& order) {
    archive("number", order.number);
    kind_field(archive, order.kind);
    archive("session", order.session);
    archive("listener", order.listener);
    archive("upstream", order.upstream);
    archive("change", order.change);
    archive("quotas", order.quotas);
    archive("min_age_ns", order.min_age);
    archive("over_ns", order.over);
    archive("max_ns", order.max);
    archive("reason", order.reason);
    archive("limit", order.limit);
    archive("by", order.by);
    archive("address", order.address);
    state_field(archive, "state_there", order.state_there);
    Duration valid_until = order.valid_until.time_since_epoch();
    archive("valid_until_ns", valid_until);
    if constexpr (!std::is_const_v<std::remove_reference_t<decltype(order)>>)
        order.valid_until = TimePoint(valid_until);
}

template <typename A>
void fields(A& archive, typename A::template Of<OrderAnswer>& answer) {
    archive("number", answer.number);
    archive("understood", answer.understood);
    archive("done", answer.done);
    archive("sessions", answer.sessions);
    archive("closing", answer.closing);
    archive.as_it_is("closes", answer.closes);
}

template <typename A>
void fields(A& archive, typename A::template Of<Unknown>& unknown) {
    archive("type", unknown.type);
}

// --- messages -----------------------------------------------------------------------------------

namespace {

template <typename T>
constexpr std::string_view type_name = "";  // of an unknown one: it has its own
template <>
constexpr std::string_view type_name<Manifest> = "manifest";
template <>
constexpr std::string_view type_name<Ready> = "ready";
template <>
constexpr std::string_view type_name<Failed> = "failed";
template <>
constexpr std::string_view type_name<Figures> = "figures";
template <>
constexpr std::string_view type_name<SessionsRequest> = "sessions_request";
template <>
constexpr std::string_view type_name<SessionsAnswer> = "sessions_answer";
template <>
constexpr std::string_view type_name<Order> = "order";
template <>
constexpr std::string_view type_name<OrderAnswer> = "order_answer";

template <typename T>
bool read_if(const std::string& type, const json::object& object, Message& message) {
    if (type != type_name<T>) return false;
    FieldReader reader(object);
    fields(reader, message.emplace<T>());
    return true;
}

template <typename... Ts>
Message message_of(const std::string& type, const json::object& object,
                   std::variant<Ts...>* /*all types*/) {
    Message message = Unknown{type};
    (void)(read_if<Ts>(type, object, message) || ...);
    return message;
}

std::expected<void, std::string> check_protocol(const json::object& object) {
    std::uint64_t protocol = 0;
    const FieldReader reader(object);
    reader("protocol", protocol);
    if (protocol == Manifest::own_protocol) return {};
    return std::unexpected(fmt::format(
        "the running process and the new one cannot talk about an upgrade (protocol {} there, {} "
        "here); restart instead",
        protocol, Manifest::own_protocol));
}

// In one piece: a text that grows leaves copies of itself behind.
std::string serialize(const json::object& object) {
    json::serializer serializer;
    char room[4096];
    std::size_t size = 0;
    for (serializer.reset(&object); !serializer.done();) size += serializer.read(room).size();
    std::string text;
    text.reserve(size);
    for (serializer.reset(&object); !serializer.done();) text += serializer.read(room);
    penstock::wipe(room, sizeof room);
    return text;
}

}  // namespace

void Manifest::wipe() noexcept {
    for (auto& [listener, left] : ticket_keys)
        for (auto& key : left.keys) net::tls::wipe(key);
    ticket_keys.clear();
}

std::optional<std::size_t> Manifest::descriptors() const noexcept {
    constexpr std::uint64_t reason = 1'000'000;
    std::uint64_t sum = older.size();
    for (const auto* list : {&sockets, &admin_sockets})
        for (const auto& entry : *list) {
            if (entry.count > reason || sum > reason) return std::nullopt;
            sum += entry.count;
        }
    return sum;
}

std::string encode(const Message& message) {
    return std::visit(
        [](const auto& value) {
            using T = std::decay_t<decltype(value)>;
            FieldWriter writer;
            writer("type", std::string(type_name<T>));
            fields(writer, value);
            return serialize(writer.take());
        },
        message);
}

std::expected<Message, std::string> decode(std::string_view text) {
    json::parse_options options;
    options.allow_invalid_utf8 = true;  // names of files and users may be anything
    boost::system::error_code error;
    const json::value value = json::parse(text, error, wiped_memory(), options);
    if (error)
        return std::unexpected(
            fmt::format("a message of the other process is no JSON: {}", error.message()));
    static const json::object nothing;
    const json::object& object = value.is_object() ? value.get_object() : nothing;
    const FieldReader reader(object);
    std::string type;
    reader("type", type);
    if (type.empty()) return std::unexpected("a message of the other process has no type");
    if (type == type_name<Manifest>)
        if (auto good = check_protocol(object); !good) return std::unexpected(good.error());
    return message_of(type, object, static_cast<Message*>(nullptr));
}

}  // namespace penstock::app::upgrade
