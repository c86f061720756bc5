#include "config/value_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/foreign_words.hpp"
#include "config/format.hpp"
#include "config/key_table.hpp"
#include "config/quantity.hpp"
#include "config/suggest.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

std::string quote_all(std::span<const std::string_view> words) {
    std::string out;
    for (const auto word : words) {
        if (!out.empty()) out += ", ";
        out += '"';
        out += word;
        out += '"';
    }
    return out;
}

std::string_view expectation(const Key& key) {
    switch (key.kind) {
        case Kind::boolean: return "true or false";
        case Kind::integer: return key.allows_auto ? "an integer or \"auto\"" : "an integer";
        case Kind::number: return "a number";
        case Kind::share: return "a number from 0 to 1";
        case Kind::duration: return "a duration in quotes";
        case Kind::size:
            return key.allows_auto ? "a size in quotes, or \"auto\"" : "a size in quotes";
        case Kind::rate:
        case Kind::byte_rate: return "a rate in quotes";
        case Kind::string:
        case Kind::pattern:
        case Kind::path: return "a string";
        case Kind::name:
        case Kind::backend_name: return "a name in quotes";
        case Kind::word: return "a word in quotes";
        case Kind::words:
        case Kind::strings:
        case Kind::paths:
        case Kind::server_names:
        case Kind::peers: return "a list of strings";
        case Kind::statuses: return "a list of statuses and ranges";
        case Kind::mode: return "a mode in quotes";
        case Kind::name_servers:
        case Kind::bind: return "an address in quotes, or a list of them";
        case Kind::local_addresses:
        case Kind::address: return "an address in quotes";
        case Kind::table:
        case Kind::map: return "a table";
        case Kind::tables: return "a list of tables";
    }
    return "something else";
}

std::string example(const Key& key, std::string_view header, const Node& node) {
    if (!key.example.empty()) return std::string(key.example);
    if (const auto* number = node.as<std::int64_t>(); number != nullptr && *number > 0) {
        if (key.kind == Kind::duration) return fmt::format("\"{}s\"", *number);
    }
    for (const auto& table : all_tables())
        if (table.header == header && table.find(key.name) == &key) return default_text(table, key);
    return {};
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
    T value{};
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

void store_integer(const Slot& slot, std::int64_t value) {
    if (const auto* narrow = std::get_if<std::uint32_t*>(&slot))
        **narrow = static_cast<std::uint32_t>(value);
    else
        *std::get<std::uint64_t*>(slot) = static_cast<std::uint64_t>(value);
}

std::string describe_range(const Key& key) {
    const bool open = key.most == std::numeric_limits<std::int64_t>::max();
    if (key.kind == Kind::duration) {
        const auto text = [](std::int64_t ms) {
            return format_duration(std::chrono::milliseconds(ms));
        };
        return open ? "at least " + text(key.least)
                    : fmt::format("from {} to {}", text(key.least), text(key.most));
    }
    if (key.kind == Kind::size) {
        const auto text = [](std::int64_t bytes) {
            return format_size(static_cast<std::uint64_t>(bytes));
        };
        return open ? "at least " + text(key.least)
                    : fmt::format("from {} to {}", text(key.least), text(key.most));
    }
    auto range = open ? fmt::format("at least {}", key.least)
                      : fmt::format("from {} to {}", key.least, key.most);
    if (key.allows_auto) range += ", or \"auto\"";
    return range;
}

}  // namespace

void ValueReader::read(const Field& field, const Node& node) {
    origins_.set(field.path, node.where);
    switch (field.key.kind) {
        case Kind::boolean: return read_boolean(field, node);
        case Kind::integer: return read_integer(field, node);
        case Kind::number: return read_number(field, node);
        case Kind::share: return read_share(field, node);
        case Kind::duration: return read_duration(field, node);
        case Kind::size: return read_size(field, node);
        case Kind::rate: return read_rate(field, node);
        case Kind::byte_rate: return read_byte_rate(field, node);
        case Kind::string: return read_string(field, node);
        case Kind::pattern:
        case Kind::path: return read_path(field, node);
        case Kind::paths: return read_paths(field, node);
        case Kind::server_names: return read_server_names(field, node);
        case Kind::name:
        case Kind::backend_name: return read_name(field, node);
        case Kind::word: return read_word(field, node);
        case Kind::words: return read_words(field, node);
        case Kind::strings: return read_strings(field, node);
        case Kind::bind: return read_bind(field, node);
        case Kind::address: return read_address(field, node);
        case Kind::peers: return read_peers(field, node);
        case Kind::local_addresses: return read_local_addresses(field, node);
        case Kind::name_servers: return read_name_servers(field, node);
        case Kind::statuses: return read_statuses(field, node);
        case Kind::mode: return read_mode(field, node);
        case Kind::table:
        case Kind::tables:
        case Kind::map: break;  // the table reader's
    }
}

void ValueReader::wrong_type(const Key& key, std::string_view header, const Node& node) {
    auto message = fmt::format("'{}' in {} takes {}; this is {}", key.name, header,
                               expectation(key), describe_type(node));
    if (const auto shown = example(key, header, node); !shown.empty())
        message += fmt::format(", write {} = {}", key.name, shown);
    reporter_.error(node.where, std::move(message));
}

std::optional<std::string> ValueReader::text(const Key& key, std::string_view header,
                                             const Node& node) {
    const auto* raw = node.as<std::string>();
    if (raw == nullptr) {
        wrong_type(key, header, node);
        return std::nullopt;
    }
    auto value = interpolate(*raw, environment_);
    if (!value) {
        reporter_.error(node.where, fmt::format("'{}' in {}: {}", key.name, header, value.error()));
        return std::nullopt;
    }
    if (!key.is_binary && value->find('\0') != std::string::npos) {
        reporter_.error(node.where,
                        fmt::format("'{}' in {} contains a NUL character", key.name, header));
        return std::nullopt;
    }
    return *std::move(value);
}

void ValueReader::complain(const Field& field, const Node& node, std::string_view text,
                           std::string_view problem) {
    reporter_.error(node.where, fmt::format("'{}' in {}: {} {}", field.key.name, field.header,
                                            quote(text), problem));
}

std::string_view ValueReader::directory(const Node& node) const {
    return reporter_.source(node.where.file).directory();
}

Node ValueReader::from_environment(const Field& field, const Node& node) {
    const auto* raw = node.as<std::string>();
    if (raw == nullptr || raw->find("${") == std::string::npos) return node;
    const auto value = text(field.key, field.header, node);
    if (!value) return {DateOrTime{}, {}};  // reported; the place says so
    Node typed = node;
    typed.value = *value;
    if (*value == "true" || *value == "false")
        typed.value = *value == "true";
    else if (const auto integer = parse_number<std::int64_t>(*value))
        typed.value = *integer;
    else if (const auto number = parse_number<double>(*value))
        typed.value = *number;
    return typed;
}

void ValueReader::read_boolean(const Field& field, const Node& node) {
    const auto typed = from_environment(field, node);
    if (typed.where.line == 0) return;
    if (const auto* value = typed.as<bool>())
        *std::get<bool*>(field.slot) = *value;
    else
        wrong_type(field.key, field.header, typed);
}

void ValueReader::read_integer(const Field& field, const Node& node) {
    const auto typed = from_environment(field, node);
    if (typed.where.line == 0) return;
    const auto& key = field.key;
    if (const auto* word = typed.as<std::string>(); word != nullptr && key.allows_auto) {
        if (*word == "auto")
            store_integer(field.slot, 0);
        else
            complain(field, node, *word, "is neither an integer nor \"auto\"");
        return;
    }
    const auto* value = typed.as<std::int64_t>();
    if (value == nullptr) return wrong_type(key, field.header, typed);
    if (*value < key.least || *value > key.most)
        reporter_.error(node.where, fmt::format("'{}' in {} must be {}, not {}", key.name,
                                                field.header, describe_range(key), *value));
    else
        store_integer(field.slot, *value);
}

std::optional<double> ValueReader::number(const Field& field, const Node& node) {
    const auto typed = from_environment(field, node);
    if (typed.where.line == 0) return std::nullopt;
    if (const auto* integer = typed.as<std::int64_t>()) return static_cast<double>(*integer);
    if (const auto* value = typed.as<double>())
        return std::fabs(*value) == 0 ? 0 : *value;  // no -0
    wrong_type(field.key, field.header, typed);
    return std::nullopt;
}

void ValueReader::read_number(const Field& field, const Node& node) {
    const auto value = number(field, node);
    if (!value) return;
    const auto& key = field.key;
    const auto least = static_cast<double>(key.least);
    const bool high_enough = key.above_least ? *value > least : *value >= least;
    const bool in_range = high_enough && *value <= static_cast<double>(key.most);  // not NaN
    if (in_range || (key.allows_zero && *value == 0))
        *std::get<double*>(field.slot) = *value;
    else
        reporter_.error(
            node.where,
            fmt::format("'{}' in {} must be {}{} {} and at most {}, not {}", key.name, field.header,
                        key.allows_zero ? "0 (off), or " : "",
                        key.above_least ? "above" : "at least", key.least, key.most, *value));
}

void ValueReader::read_share(const Field& field, const Node& node) {
    const auto share = number(field, node);
    if (!share) return;
    if (*share >= 0 && *share <= 1)  // not NaN
        *std::get<double*>(field.slot) = *share;
    else
        reporter_.error(node.where, fmt::format("'{}' in {} must be from 0 to 1, not {}",
                                                field.key.name, field.header, *share));
}

void ValueReader::read_duration(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto& key = field.key;
    auto& target = *std::get<Duration*>(field.slot);
    if (*value == "never") {
        if (!key.allows_never)
            return complain(field, node, *value, "is not allowed here; it needs an end");
        target = never;
        if (!key.never_warning.empty())
            reporter_.warning(node.where, fmt::format("'{}' in {} is \"never\": {}", key.name,
                                                      field.header, key.never_warning));
        return;
    }
    if (key.allows_never && foreign_value(*value, "") != nullptr)
        return complain(field, node, *value, "is no duration; did you mean \"never\"?");
    const auto duration = parse_duration(*value);
    if (!duration) return complain(field, node, *value, duration.error());
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*duration).count();
    if (ms < key.least || ms > key.most) {
        auto range = describe_range(key);
        if (ms == 0 && key.allows_never) range += "; write \"never\" to switch it off";
        return complain(field, node, *value, fmt::format("is out of range: {}", range));
    }
    if (key.whole_seconds && ms % 1000 != 0)
        return complain(field, node, *value,
                        "is no whole number of seconds; the kernel counts "
                        "nothing finer here");
    target = *duration;
}

void ValueReader::read_size(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto& key = field.key;
    auto& target = *std::get<std::uint64_t*>(field.slot);
    if (key.allows_auto && *value == "auto") {
        target = 0;
        return;
    }
    const auto size = parse_size(*value);
    if (!size) return complain(field, node, *value, size.error());
    if (*size < static_cast<std::uint64_t>(key.least) ||
        *size > static_cast<std::uint64_t>(key.most))
        return complain(field, node, *value,
                        fmt::format("is out of range: {}", describe_range(key)));
    target = *size;
}

void ValueReader::read_rate(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto rate = value->empty() ? Rate{} : parse_rate(*value);
    if (!rate) return complain(field, node, *value, rate.error());
    *std::get<Rate*>(field.slot) = *rate;
}

void ValueReader::read_byte_rate(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto rate = value->empty() ? std::uint64_t{0} : parse_byte_rate(*value);
    if (!rate) return complain(field, node, *value, rate.error());
    *std::get<std::uint64_t*>(field.slot) = *rate;
}

void ValueReader::read_string(const Field& field, const Node& node) {
    if (auto value = text(field.key, field.header, node))
        *std::get<std::string*>(field.slot) = *std::move(value);
}

void ValueReader::read_path(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    auto& target = *std::get<std::string*>(field.slot);
    const auto words = split_words(field.key.words);
    if (std::ranges::find(words, *value) != words.end()) {
        target = *value;
        return;
    }
    if (value->empty() && words.empty()) {
        target.clear();
        return;
    }
    if (value->empty())
        return complain(field, node, *value,
                        fmt::format("is no file; write a path or one of {}", quote_all(words)));
    // A name without a directory may be a misspelt word, or one that is for another key.
    static constexpr std::string_view reserved[] = {"off",    "none",    "stdout", "stderr", "-",
                                                    "syslog", "journal", "null",   "console"};
    const bool bare = !words.empty() && value->find('/') == std::string::npos;
    const auto near = bare ? nearest(*value, words) : std::nullopt;
    if (near || (bare && std::ranges::find(reserved, *value) != std::end(reserved)))
        return complain(
            field, node, *value,
            fmt::format("is none of {}{}; a file of this name is \"./{}\"", quote_all(words),
                        near ? fmt::format(" (did you mean \"{}\"?)", *near) : "", *value));
    target = absolute_path(*value, directory(node));
}

void ValueReader::read_name(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto valid =
        field.key.kind == Kind::name ? check_name(*value) : check_backend_name(*value);
    if (!valid) return complain(field, node, *value, valid.error());
    *std::get<std::string*>(field.slot) = *value;
}

void ValueReader::read_mode(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto mode = parse_mode(*value);
    if (!mode) return complain(field, node, *value, mode.error());
    *std::get<std::uint32_t*>(field.slot) = *mode;
}

std::optional<std::uint8_t> ValueReader::word_number(const Field& field, const Node& node,
                                                     std::string_view word) {
    const auto words = split_words(field.key.words);
    const auto found = std::ranges::find(words, word);
    if (found != words.end()) return static_cast<std::uint8_t>(found - words.begin());
    std::string problem = "is unknown";
    if (const auto* foreign = foreign_value(word, field.key.name)) {
        problem += fmt::format("; here it is \"{}\"", foreign->equivalent);
    } else if (const auto near = nearest(word, words)) {
        problem += fmt::format("; did you mean \"{}\"?", *near);
    }
    complain(field, node, word, fmt::format("{}; there are {}", problem, quote_all(words)));
    return std::nullopt;
}

void ValueReader::read_word(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto& slot = std::get<WordSlot>(field.slot);
    if (const auto number = word_number(field, node, *value)) slot.set(slot.value, *number);
}

void ValueReader::read_address(const Field& field, const Node& node) {
    const auto value = text(field.key, field.header, node);
    if (!value) return;
    const auto& [endpoint, host, port] = std::get<AddressSlot>(field.slot);
    auto server = parse_server_address(*value, directory(node));
    if (!server) return complain(field, node, *value, server.error());
    *endpoint = std::move(server->endpoint);
    *host = std::move(server->host);
    *port = server->port;
}

}  // namespace penstock::config
