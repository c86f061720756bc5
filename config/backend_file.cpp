#include "config/backend_file.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "config/diagnostic.hpp"
#include "config/source.hpp"
#include "config/text.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

namespace json = boost::json;

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::size_t most_errors = 20;
constexpr std::uint64_t largest_weight = 65535;
constexpr std::uint64_t most_connections = 1'000'000'000;

/// Collects backends and errors; refuses what is there twice.
class Collector {
public:
    explicit Collector(std::size_t most) : most_(most) {}

    void error(std::uint32_t line, std::uint32_t column, std::string message) {
        if (errors_.size() < most_errors) errors_.push_back({line, column, std::move(message)});
    }
    void add(FileBackend backend, std::uint32_t line, std::uint32_t column) {
        auto key = backend.host.empty() ? format_endpoint(backend.address)
                                        : fmt::format("{}:{}", backend.host, backend.host_port);
        if (!addresses_.insert(key).second)
            return error(line, column, fmt::format("{} is there twice", quote(key)));
        if (!backend.name.empty() && !names_.insert(backend.name).second)
            return error(line, column, fmt::format("a second {}", quote(backend.name)));
        if (backends_.size() == most_)
            return error(line, column, fmt::format("more than {} backends", most_));
        backends_.push_back(std::move(backend));
    }
    std::expected<std::vector<FileBackend>, std::vector<BackendFileError>> finish() {
        if (!errors_.empty()) return std::unexpected(std::move(errors_));
        return std::move(backends_);
    }

private:
    std::size_t most_;
    std::vector<FileBackend> backends_;
    std::vector<BackendFileError> errors_;
    std::set<std::string> addresses_;
    std::set<std::string> names_;
};

/// An empty string, or what is wrong.
std::string set_address(FileBackend& backend, std::string_view text) {
    auto server = parse_server_address(text, "/");
    if (!server) return fmt::format("{} {}", quote(text), server.error());
    backend.address = std::move(server->endpoint);
    backend.host = std::move(server->host);
    backend.host_port = server->port;
    return {};
}

std::string set_name(FileBackend& backend, std::string_view text) {
    if (const auto valid = check_backend_name(text); !valid)
        return fmt::format("name {} {}", quote(text), valid.error());
    backend.name = text;
    return {};
}

std::string set_number(FileBackend& backend, std::string_view key, std::uint64_t value) {
    const std::uint64_t most = key == "max_connections" ? most_connections : largest_weight;
    if (value > most) return fmt::format("{} is above {}", key, most);
    if (key == "weight")
        backend.weight = static_cast<std::uint32_t>(value);
    else if (key == "tier")
        backend.tier = static_cast<std::uint32_t>(value);
    else if (key == "max_connections")
        backend.max_connections = value;
    else
        return fmt::format("unknown option {}; there are name, weight, tier, max_connections",
                           quote(key));
    return {};
}

std::string set_option(FileBackend& backend, std::string_view option) {
    const auto equals = option.find('=');
    if (equals == option.npos)
        return fmt::format("{} is no option; a line has one address, then key=value",
                           quote(option));
    const auto key = option.substr(0, equals);
    const auto text = option.substr(equals + 1);
    if (key == "name") return set_name(backend, text);
    std::uint64_t value = 0;
    const auto* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, value);
    if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != end)
        return fmt::format("{} is no whole number", quote(text));
    return set_number(backend, key, value);
}

void parse_line(std::string_view line, std::uint32_t number, Collector& collector) {
    const auto whole = line;
    line = line.substr(0, line.find('#'));
    FileBackend backend;
    std::uint32_t first_column = 0;
    for (;;) {
        const auto begin = line.find_first_not_of(blanks);
        if (begin == line.npos) break;
        line.remove_prefix(begin);
        const auto word = line.substr(0, line.find_first_of(blanks));
        line.remove_prefix(word.size());
        const auto before = static_cast<std::size_t>(word.data() - whole.data());
        const auto column =
            static_cast<std::uint32_t>(count_characters(whole.substr(0, before)) + 1);
        auto problem = first_column == 0 ? set_address(backend, word) : set_option(backend, word);
        if (first_column == 0) first_column = column;
        if (!problem.empty()) return collector.error(number, column, std::move(problem));
    }
    if (first_column != 0) collector.add(std::move(backend), number, first_column);
}

std::string set_member(FileBackend& backend, std::string_view key, const json::value& value) {
    if (key == "address" || key == "name") {
        const auto* text = value.if_string();
        if (text == nullptr) return fmt::format("'{}' is no string", key);
        const std::string_view view(text->data(), text->size());
        return key == "address" ? set_address(backend, view) : set_name(backend, view);
    }
    const auto* number = value.if_int64();
    if (number == nullptr || *number < 0) return fmt::format("'{}' is no whole number", key);
    return set_number(backend, key, static_cast<std::uint64_t>(*number));
}

// JSON values have no places of their own: the message counts them.
void parse_element(const json::value& element, std::size_t index, Collector& collector) {
    FileBackend backend;
    std::string problem;
    if (const auto* text = element.if_string()) {
        problem = set_address(backend, {text->data(), text->size()});
    } else if (const auto* object = element.if_object()) {
        if (!object->contains("address")) problem = "'address' is missing";
        for (const auto& [key, value] : *object)
            if (problem.empty()) problem = set_member(backend, {key.data(), key.size()}, value);
    } else {
        problem = "neither an address nor an object";
    }
    if (!problem.empty())
        return collector.error(0, 0, fmt::format("backend {}: {}", index + 1, problem));
    collector.add(std::move(backend), 0, 0);
}

void parse_json(std::string_view text, Collector& collector) {
    json::parse_options options;
    options.max_depth = 4;
    json::parser parser({}, options);
    json::error_code error;
    const auto used = parser.write(text.data(), text.size(), error);
    if (error) {
        const auto before = text.substr(0, used);
        const auto line = static_cast<std::uint32_t>(std::ranges::count(before, '\n') + 1);
        const auto start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
        const auto column = static_cast<std::uint32_t>(count_characters(before.substr(start)) + 1);
        return collector.error(line, column, fmt::format("this is no JSON: {}", error.message()));
    }
    const json::value document = parser.release();
    const json::array* list = document.if_array();
    if (const auto* object = document.if_object()) {
        if (const auto* member = object->if_contains("backends")) list = member->if_array();
        if (object->size() != 1) list = nullptr;
    }
    if (list == nullptr)
        return collector.error(0, 0,
                               "this is neither a list nor an object that has one as 'backends' "
                               "and nothing else");
    for (std::size_t i = 0; i < list->size(); ++i) parse_element((*list)[i], i, collector);
}

}  // namespace

std::expected<std::vector<FileBackend>, std::vector<BackendFileError>> parse_backend_file(
    std::string_view text, std::size_t most) {
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    Collector collector(most);
    const auto first = text.find_first_not_of(" \t\r\n");
    // `[::1]:80` is an address: a list goes on with a value, or ends.
    const bool is_list =
        first != text.npos && text[first] == '[' &&
        text.find_first_not_of(" \t\r\n", first + 1) != text.npos &&
        std::string_view("\"{]").contains(text[text.find_first_not_of(" \t\r\n", first + 1)]);
    if (is_list || (first != text.npos && text[first] == '{')) {
        parse_json(text, collector);
        return collector.finish();
    }
    for (std::uint32_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        parse_line(text.substr(0, end), number, collector);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return collector.finish();
}

std::expected<std::vector<FileBackend>, std::vector<BackendFileError>> read_backend_file(
    const std::string& path, std::size_t most) {
    const auto text = read_source(path);
    if (!text) return std::unexpected(std::vector{BackendFileError{0, 0, text.error()}});
    return parse_backend_file(*text, most);
}

}  // namespace penstock::config
