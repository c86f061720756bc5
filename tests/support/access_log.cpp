#include "tests/support/access_log.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <utility>

namespace penstock::test {

namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 30> key_order{"event",
                                                     "time",
                                                     "id",
                                                     "listener",
                                                     "worker",
                                                     "client",
                                                     "peer",
                                                     "local",
                                                     "route",
                                                     "sni",
                                                     "alpn",
                                                     "tls",
                                                     "upstream",
                                                     "backend",
                                                     "backend_address",
                                                     "backend_local",
                                                     "attempts",
                                                     "warm",
                                                     "queue_ms",
                                                     "tls_ms",
                                                     "connect_ms",
                                                     "first_byte_ms",
                                                     "duration_ms",
                                                     "bytes_to_backend",
                                                     "bytes_to_client",
                                                     "closed_by",
                                                     "reason",
                                                     "class",
                                                     "detail",
                                                     "would_refuse"};

constexpr std::array<std::string_view, 10> required_on_close{
    "event",           "time",   "id",   "listener", "client", "duration_ms", "bytes_to_backend",
    "bytes_to_client", "reason", "class"};

const std::map<std::string_view, std::string_view>& classes() {
    static const std::map<std::string_view, std::string_view> table{
        {"completed", "ok"},
        {"client_reset", "client"},
        {"client_lost", "client"},
        {"client_gone", "client"},
        {"backend_reset", "backend"},
        {"backend_lost", "backend"},
        {"connect_failed", "backend"},
        {"no_backend", "backend"},
        {"backend_down", "backend"},
        {"role_changed", "operator"},
        {"idle_timeout", "policy"},
        {"half_closed_timeout", "policy"},
        {"lifetime", "policy"},
        {"limit_process", "proxy"},
        {"overload", "proxy"},
        {"internal", "proxy"},
        {"limit_listener", "policy"},
        {"no_route", "policy"},
        {"limit_source", "policy"},
        {"rate_source", "policy"},
        {"rate_listener", "policy"},
        {"denied", "policy"},
        {"queue_full", "proxy"},
        {"queue_timeout", "proxy"},
        {"drained", "operator"},
        {"backend_removed", "operator"},
        {"rebalanced", "operator"},
        {"killed", "operator"},
        {"proxy_header_invalid", "client"},
        {"proxy_header_timeout", "client"},
        {"proxy_header_untrusted", "client"},
        {"client_hello_invalid", "client"},
        {"client_hello_timeout", "client"},
        {"tls_failed", "client"},
        {"tls_timeout", "client"},
        {"tls_client_cert", "client"},
        {"tls_unknown_name", "client"}};
    return table;
}

/// Length of the valid UTF-8 sequence at the start of `text`, 0 when there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const unsigned lead = byte(0);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
    if (lead == 0xED && byte(1) > 0x9F) return 0;  // surrogate
    if (lead == 0xF0 && byte(1) < 0x90) return 0;  // overlong
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;  // beyond U+10FFFF
    return length;
}

std::string check_bytes(std::string_view line) {
    for (std::size_t i = 0; i < line.size();) {
        const auto byte = static_cast<unsigned char>(line[i]);
        if (byte < 0x20 || byte == 0x7F) return "control character in the line";
        const std::size_t length = utf8_length(line.substr(i));
        if (length == 0) return "invalid UTF-8 in the line";
        i += length;
    }
    return {};
}

std::string check_keys(const json::object& object) {
    auto expected = key_order.begin();
    for (const auto& member : object) {
        const std::string_view key(member.key().data(), member.key().size());
        const auto found = std::find(expected, key_order.end(), key);
        if (found == key_order.end())
            return "key '" + std::string(key) + "' unknown or out of order";
        expected = found + 1;
        if (member.value().is_null()) return "key '" + std::string(key) + "' is null, not absent";
    }
    return {};
}

std::string text_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (!value) return {};
    if (const auto* text = value->if_string()) return std::string(text->data(), text->size());
    return json::serialize(*value);
}

std::optional<double> number_of(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (!value || !value->is_number()) return std::nullopt;
    return value->to_number<double>();
}

std::string read_attempts(const json::object& object, LogLine& line) {
    const json::value* value = object.if_contains("attempts");
    if (!value) return {};
    if (!value->is_array()) return "attempts is not an array";
    static constexpr std::array<std::string_view, 9> errors{
        "", "refused", "timeout", "unreachable", "reset", "tls", "no_port", "no_fd", "other"};
    for (const json::value& entry : value->as_array()) {
        if (!entry.is_object()) return "an attempt is not an object";
        const json::object& attempt = entry.as_object();
        for (const auto& member : attempt) {
            const std::string_view key(member.key().data(), member.key().size());
            if (key != "backend" && key != "address" && key != "error" && key != "ms")
                return "unknown key '" + std::string(key) + "' in an attempt";
        }
        line.attempts.push_back({text_of(attempt, "backend"), text_of(attempt, "address"),
                                 text_of(attempt, "error"), number_of(attempt, "ms").value_or(-1)});
        if (std::ranges::find(errors, line.attempts.back().error) == errors.end())
            return "unknown error of an attempt: " + line.attempts.back().error;
        if (line.attempts.back().ms < 0) return "an attempt without a time, or a negative one";
    }
    return {};
}

std::string read_tls(const json::object& object, LogLine& line) {
    const json::value* value = object.if_contains("tls");
    if (!value) return {};
    if (!value->is_object()) return "tls is not an object";
    const json::object& tls = value->as_object();
    for (const auto& member : tls) {
        const std::string_view key(member.key().data(), member.key().size());
        if (key != "version" && key != "cipher" && key != "resumed" && key != "client_cert")
            return "unknown key '" + std::string(key) + "' in tls";
    }
    line.tls = {true, text_of(tls, "version"), text_of(tls, "cipher"),
                text_of(tls, "resumed") == "true", text_of(tls, "client_cert")};
    return {};
}

std::string check_numbers(const json::object& object) {
    for (const std::string_view key : {"queue_ms", "tls_ms", "connect_ms", "first_byte_ms",
                                       "duration_ms", "bytes_to_backend", "bytes_to_client"}) {
        if (!object.if_contains(key)) continue;
        const auto value = number_of(object, key);
        if (!value) return "key '" + std::string(key) + "' is not a number";
        if (*value < 0) return "key '" + std::string(key) + "' is negative";
    }
    return {};
}

std::string check_values(const LogLine& line) {
    static const std::regex time_form(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)");
    if (!std::regex_match(line.time, time_form)) return "time is not RFC 3339 in UTC with ms";
    if (line.event != "close") return line.event == "open" ? "" : "unknown event " + line.event;
    if (class_of_reason(line.reason).empty()) return "unknown reason " + line.reason;
    if (class_of_reason(line.reason) != line.close_class)
        return "class " + line.close_class + " does not belong to reason " + line.reason;
    const auto& by = line.closed_by;
    if (!by.empty() && by != "client" && by != "backend" && by != "proxy") return "closed_by " + by;
    return {};
}

void read_members(const json::object& object, LogLine& line) {
    using Member = std::pair<std::string_view, std::string LogLine::*>;
    static constexpr std::array<Member, 19> members{{{"event", &LogLine::event},
                                                     {"time", &LogLine::time},
                                                     {"id", &LogLine::id},
                                                     {"listener", &LogLine::listener},
                                                     {"worker", &LogLine::worker},
                                                     {"client", &LogLine::client},
                                                     {"peer", &LogLine::peer},
                                                     {"local", &LogLine::local},
                                                     {"route", &LogLine::route},
                                                     {"sni", &LogLine::sni},
                                                     {"alpn", &LogLine::alpn},
                                                     {"upstream", &LogLine::upstream},
                                                     {"backend", &LogLine::backend},
                                                     {"backend_address", &LogLine::backend_address},
                                                     {"backend_local", &LogLine::backend_local},
                                                     {"closed_by", &LogLine::closed_by},
                                                     {"reason", &LogLine::reason},
                                                     {"class", &LogLine::close_class},
                                                     {"detail", &LogLine::detail}}};
    for (const auto& [key, member] : members) line.*member = text_of(object, key);
    line.queue_ms = number_of(object, "queue_ms");
    line.warm = object.if_contains("warm") != nullptr;
    line.tls_ms = number_of(object, "tls_ms");
    line.connect_ms = number_of(object, "connect_ms");
    line.first_byte_ms = number_of(object, "first_byte_ms");
    line.duration_ms = number_of(object, "duration_ms").value_or(0);
    line.bytes_to_backend =
        static_cast<std::uint64_t>(number_of(object, "bytes_to_backend").value_or(0));
    line.bytes_to_client =
        static_cast<std::uint64_t>(number_of(object, "bytes_to_client").value_or(0));
}

std::string check_line(std::string_view text, LogLine& line) {
    if (auto problem = check_bytes(text); !problem.empty()) return problem;
    json::error_code error;
    const json::value value = json::parse(text, error);
    if (error) return "not JSON (" + error.message() + ")";
    if (!value.is_object()) return "not a JSON object";
    const json::object& object = value.as_object();
    if (auto problem = check_keys(object); !problem.empty()) return problem;
    read_members(object, line);
    if (line.event == "close")
        for (const std::string_view key : required_on_close)
            if (!object.if_contains(key)) return "key '" + std::string(key) + "' is missing";
    if (auto problem = check_numbers(object); !problem.empty()) return problem;
    if (auto problem = read_attempts(object, line); !problem.empty()) return problem;
    if (auto problem = read_tls(object, line); !problem.empty()) return problem;
    return check_values(line);
}

}  // namespace

std::string_view class_of_reason(std::string_view reason) {
    const auto found = classes().find(reason);
    return found == classes().end() ? std::string_view{} : found->second;
}

LogLine parse_log_line(std::string_view text) {
    LogLine line;
    line.raw = text;
    line.problem = check_line(text, line);
    return line;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    return std::move(content).str();
}

std::vector<LogLine> AccessLogReader::lines(bool with_partial) const {
    const std::string content = read_file(path_);
    std::vector<LogLine> lines;
    for (std::size_t start = 0; start < content.size();) {
        const std::size_t end = content.find('\n', start);
        if (end == std::string::npos && !with_partial) break;
        lines.push_back(parse_log_line(std::string_view(content).substr(start, end - start)));
        if (end == std::string::npos) break;
        start = end + 1;
    }
    return lines;
}

std::vector<LogLine> AccessLogReader::wait_for_lines(std::size_t count, milliseconds limit) const {
    // Counts line ends first, and only where the file has changed: parsing, or even reading, many
    // thousands of lines at every look would be the larger load.
    std::uintmax_t size = 0;
    std::size_t seen = 0;
    wait_for(
        [&] {
            std::error_code error;
            const auto now = std::filesystem::file_size(path_, error);
            if (error || now != std::exchange(size, now))
                seen = static_cast<std::size_t>(std::ranges::count(read_file(path_), '\n'));
            return seen >= count;
        },
        limit);
    return lines();
}

}  // namespace penstock::test
