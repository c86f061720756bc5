#include "app/client/fields.hpp"

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

const json::value& field(const json::value& object, std::string_view path) noexcept {
    static const json::value unknown;
    const json::value* value = &object;
    while (!path.empty()) {
        const auto dot = path.find('.');
        const auto* fields = value->if_object();
        value = fields == nullptr ? nullptr : fields->if_contains(path.substr(0, dot));
        if (value == nullptr) return unknown;
        path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    }
    return *value;
}

std::optional<std::string> word(const json::value& value) {
    if (const auto* string = value.if_string())
        return sanitised(std::string_view(string->data(), string->size()));
    if (const auto* truth = value.if_bool()) return *truth ? "yes" : "no";
    if (value.is_number()) return format_figure(value.to_number<double>());
    return std::nullopt;
}

std::optional<std::string> text(const json::value& object, std::string_view path) {
    return word(field(object, path));
}

std::string text_or(const json::value& object, std::string_view path, std::string_view otherwise) {
    auto found = text(object, path);
    return found ? *std::move(found) : std::string(otherwise);
}

std::optional<double> number(const json::value& object, std::string_view path) noexcept {
    const auto& value = field(object, path);
    if (const auto* real = value.if_double()) return *real;
    if (const auto* whole = value.if_int64()) return static_cast<double>(*whole);
    if (const auto* natural = value.if_uint64()) return static_cast<double>(*natural);
    return std::nullopt;
}

double number_or(const json::value& object, std::string_view path, double otherwise) noexcept {
    return number(object, path).value_or(otherwise);
}

bool flag(const json::value& object, std::string_view path) noexcept {
    const auto* truth = field(object, path).if_bool();
    return truth != nullptr && *truth;
}

const json::array& items(const json::value& value) noexcept {
    static const json::array none;
    const auto* array = value.if_array();
    return array == nullptr ? none : *array;
}

const json::array& items(const json::value& object, std::string_view path) noexcept {
    return items(field(object, path));
}

std::string plain_number(const json::value& object, std::string_view path) {
    const auto value = number(object, path);
    return value ? fmt::format("{:.0f}", *value) : std::string("-");
}

std::string joined(const json::array& values) {
    std::string out;
    for (const auto& value : values) {
        const auto one = word(value);
        if (!one) continue;
        if (!out.empty()) out += ", ";
        out += *one;
    }
    return out;
}

}  // namespace penstock::app::client
