#include "admin/arguments.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/value.hpp"

namespace penstock::admin {

Arguments& Arguments::allow(std::initializer_list<std::string_view> names) {
    const auto check = [&](std::string_view name) {
        if (std::ranges::find(names, name) == names.end())
            complain(names.size() == 0 ? fmt::format("unknown argument '{}'; there are none", name)
                                       : fmt::format("unknown argument '{}'; there are: {}", name,
                                                     fmt::join(names, ", ")));
    };
    for (const auto& [name, value] : request_.query) check(name);
    for (const auto& [name, value] : request_.body) check({name.data(), name.size()});
    return *this;
}

void Arguments::complain(std::string problem) { problems_.push_back(std::move(problem)); }

std::optional<Refusal> Arguments::refusal() const {
    if (problems_.empty()) return std::nullopt;
    return Refusal{400, "the request cannot be understood", problems_};
}

std::optional<std::string> Arguments::in_query(std::string_view name) const {
    const auto found = request_.query.find(std::string(name));
    if (found == request_.query.end()) return std::nullopt;
    return found->second;
}

const boost::json::value* Arguments::in_body(std::string_view name) const {
    return request_.body.if_contains({name.data(), name.size()});
}

bool Arguments::has(std::string_view name) const {
    return in_query(name).has_value() || in_body(name) != nullptr;
}

std::string Arguments::text(std::string_view name) {
    if (const auto* value = in_body(name)) {
        if (value->is_string()) return std::string(value->get_string());
        complain(fmt::format("'{}' must be a text", name));
        return "";
    }
    return in_query(name).value_or("");
}

bool Arguments::flag(std::string_view name, bool default_value) {
    if (const auto* value = in_body(name)) {
        if (value->is_bool()) return value->get_bool();
    } else if (const auto text = in_query(name)) {
        if (*text == "true" || *text == "false") return *text == "true";
    } else {
        return default_value;
    }
    complain(fmt::format("'{}' must be true or false", name));
    return default_value;
}

double Arguments::share(std::string_view name, double default_value) {
    const auto* value = in_body(name);
    if (value == nullptr) return default_value;
    const double share = value->is_number() ? value->to_number<double>() : -1;
    if (share >= 0 && share <= 1) return share;
    complain(fmt::format("'{}' must be a number from 0 to 1", name));
    return default_value;
}

Duration Arguments::duration(std::string_view name, Duration default_value) {
    if (!has(name)) return default_value;
    const auto parsed = config::parse_duration(text(name));
    if (parsed && *parsed != never) return *parsed;
    complain(fmt::format("'{}' must be a duration such as \"30s\" or \"10m\"", name));
    return default_value;
}

std::uint64_t Arguments::number(std::string_view name, std::uint64_t default_value,
                                std::uint64_t most) {
    std::optional<std::uint64_t> found;
    if (const auto* value = in_body(name)) {
        if (value->is_uint64()) found = value->get_uint64();
        if (value->is_int64() && value->get_int64() >= 0)
            found = static_cast<std::uint64_t>(value->get_int64());
    } else if (const auto text = in_query(name)) {
        std::uint64_t parsed = 0;
        const auto [end, error] =
            std::from_chars(text->data(), text->data() + text->size(), parsed);
        if (error == std::errc() && end == text->data() + text->size()) found = parsed;
    } else {
        return default_value;
    }
    if (found && *found <= most) return *found;
    complain(fmt::format("'{}' must be a whole number from 0 to {}", name, most));
    return default_value;
}

std::optional<CloseReason> reason_named(std::string_view name) {
    for (std::size_t i = 1; i < close_reason_count; ++i)
        if (name_of(static_cast<CloseReason>(i)) == name) return static_cast<CloseReason>(i);
    return std::nullopt;
}

}  // namespace penstock::admin
