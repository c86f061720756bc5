#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

/// What the views read of the API's answers. An absent field, one of another type and null are all
/// "unknown": a client meets proxies that are older and newer than itself.
namespace penstock::app::client {

namespace json = boost::json;

/// `path` names a field, or one inside objects: `connections.active`. null if it is not there.
[[nodiscard]] const json::value& field(const json::value& object, std::string_view path) noexcept;
/// Sanitised; numbers and booleans as words.
[[nodiscard]] std::optional<std::string> text(const json::value& object, std::string_view path);
[[nodiscard]] std::string text_or(const json::value& object, std::string_view path,
                                  std::string_view otherwise);
[[nodiscard]] std::optional<double> number(const json::value& object,
                                           std::string_view path) noexcept;
[[nodiscard]] double number_or(const json::value& object, std::string_view path,
                               double otherwise) noexcept;
[[nodiscard]] bool flag(const json::value& object, std::string_view path) noexcept;
/// Empty if there is no array.
[[nodiscard]] const json::array& items(const json::value& object, std::string_view path) noexcept;
[[nodiscard]] const json::array& items(const json::value& value) noexcept;
/// A whole number as an identifier is written, without separators; `-` if it is unknown.
[[nodiscard]] std::string plain_number(const json::value& object, std::string_view path);
/// An array of texts as one, with commas.
[[nodiscard]] std::string joined(const json::array& values);
/// A value as a word: sanitised text, number, `yes`, `no`; nothing for null, objects and arrays.
[[nodiscard]] std::optional<std::string> word(const json::value& value);

/// A field through one of the format functions; `-` if it is unknown.
template <class Format>
[[nodiscard]] std::string formatted(const json::value& object, std::string_view path,
                                    Format format) {
    const auto value = number(object, path);
    return value ? format(*value) : std::string("-");
}

}  // namespace penstock::app::client
