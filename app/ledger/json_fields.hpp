#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/storage_ptr.hpp>
#include <boost/json/value.hpp>

#include "base/clock.hpp"
#include "metrics/totals.hpp"

/// Structs as JSON objects whose fields are known by their names. Each struct has one function
/// `fields(archive, value)` that names them all; FieldWriter and FieldReader go through it. What is
/// zero or empty is not written, and what is absent, or of another type, is left as it was: two
/// versions of the program understand of each other what both know.
namespace penstock::app {

namespace json = boost::json;

template <std::size_t n>
using Counters = std::array<std::uint64_t, n>;

/// Memory that is wiped when it is given back: there are keys among what processes tell each other.
[[nodiscard]] json::storage_ptr wiped_memory() noexcept;

class FieldWriter {
public:
    template <typename T>
    using Of = const T;

    template <typename T>
    void operator()(std::string_view name, const T& value) {
        if (auto shown = json_of(value); !is_nothing(shown)) object_[name] = std::move(shown);
    }
    /// A number whose absence says something else than zero.
    void even_zero(std::string_view name, std::integral auto value) { object_[name] = value; }
    /// Counters of an enumeration, under the names of its values; those without a name count
    /// nothing.
    template <std::size_t n, typename NameOf>
    void by_name(std::string_view name, const Counters<n>& counters, NameOf name_of) {
        json::object shown;
        for (std::size_t i = 0; i < n; ++i)
            if (counters[i] != 0 && !name_of(i).empty()) shown[name_of(i)] = counters[i];
        if (!shown.empty()) object_[name] = std::move(shown);
    }
    void histogram(std::string_view name, const metrics::HistogramTotals& totals,
                   std::span<const std::uint64_t> bounds_us);

    void as_it_is(std::string_view name, const json::array& list) { object_[name] = list; }

    [[nodiscard]] json::object take() { return std::move(object_); }

private:
    static bool is_nothing(const json::value& value) noexcept;
    static json::value json_of(bool value) { return value; }
    static json::value json_of(std::integral auto value) { return value; }
    static json::value json_of(const std::string& value) {
        return json::value(value, wiped_memory());
    }
    static json::value json_of(Duration value);
    static json::value json_of(WallTime value);
    template <typename T>
    static json::value json_of(const std::optional<T>& value) {
        // As a list of one, so that a value of zero is not nothing.
        return value ? json::array{json_of(*value)} : json::array{};
    }
    template <typename T>
    static json::value json_of(const std::vector<T>& values) {
        json::array shown(wiped_memory());
        for (const auto& value : values) shown.push_back(json_of(value));
        return shown;
    }
    static json::value json_of(const std::set<std::string>& names) {
        return json::array(names.begin(), names.end());
    }
    template <typename T>
    static json::value json_of(const std::map<std::string, T>& values) {
        json::object shown(wiped_memory());
        for (const auto& [name, value] : values) shown[name] = json_of(value);
        return shown;
    }
    // Other keys are fields of their own.
    template <typename Key, typename T>
    static json::value json_of(const std::map<Key, T>& values) {
        json::array shown;
        for (const auto& [key, value] : values) {
            FieldWriter writer;
            key_fields(writer, key);
            writer("value", value);
            shown.push_back(writer.take());
        }
        return shown;
    }
    template <typename T>
        requires std::is_class_v<T>
    static json::value json_of(const T& value) {
        FieldWriter writer;
        fields(writer, value);
        return writer.take();
    }

    json::object object_{wiped_memory()};
};

class FieldReader {
public:
    template <typename T>
    using Of = T;

    explicit FieldReader(const json::object& object) : object_(object) {}

    template <typename T>
    void operator()(std::string_view name, T& value) const {
        if (const json::value* found = object_.if_contains(name)) read(*found, value);
    }
    template <std::integral T>
    void even_zero(std::string_view name, T& value) const {
        (*this)(name, value);
    }
    template <std::size_t n, typename NameOf>
    void by_name(std::string_view name, Counters<n>& counters, NameOf name_of) const {
        const json::value* found = object_.if_contains(name);
        const json::object* named = found == nullptr ? nullptr : found->if_object();
        if (named == nullptr) return;
        const FieldReader inner(*named);
        for (std::size_t i = 0; i < n; ++i)
            if (!name_of(i).empty()) inner(name_of(i), counters[i]);
    }
    void histogram(std::string_view name, metrics::HistogramTotals& totals,
                   std::span<const std::uint64_t> bounds_us) const;
    void as_it_is(std::string_view name, json::array& list) const {
        const json::value* found = object_.if_contains(name);
        if (found != nullptr && found->is_array()) list = found->get_array();
    }

private:
    // False: it is of another kind, and nothing was read.
    static bool read(const json::value& from, bool& value) noexcept;
    static bool read(const json::value& from, std::uint64_t& value) noexcept;
    static bool read(const json::value& from, std::string& value);
    static bool read(const json::value& from, Duration& value) noexcept;
    static bool read(const json::value& from, WallTime& value) noexcept;
    static bool read(const json::value& from, std::set<std::string>& names);
    template <std::integral T>
    static bool read(const json::value& from, T& value) noexcept {
        std::uint64_t whole = 0;
        if (!read(from, whole) || !std::in_range<T>(whole)) return false;
        value = static_cast<T>(whole);
        return true;
    }
    template <typename T>
    static bool read(const json::value& from, std::optional<T>& value) {
        const json::array* list = from.if_array();
        T found{};
        if (list == nullptr || list->empty() || !read(list->front(), found)) return false;
        value = std::move(found);
        return true;
    }
    template <typename T>
    static bool read(const json::value& from, std::vector<T>& values) {
        const json::array* list = from.if_array();
        if (list == nullptr) return false;
        for (const auto& item : *list) read(item, values.emplace_back());
        return true;
    }
    template <typename T>
    static bool read(const json::value& from, std::map<std::string, T>& values) {
        const json::object* named = from.if_object();
        if (named == nullptr) return false;
        for (const auto& [name, value] : *named) read(value, values[name]);
        return true;
    }
    template <typename Key, typename T>
    static bool read(const json::value& from, std::map<Key, T>& values) {
        const json::array* list = from.if_array();
        if (list == nullptr) return false;
        for (const auto& item : *list) {
            if (!item.is_object()) continue;
            FieldReader reader(item.get_object());
            Key key{};
            key_fields(reader, key);
            reader("value", values[key]);
        }
        return true;
    }
    template <typename T>
        requires std::is_class_v<T>
    static bool read(const json::value& from, T& value) {
        const json::object* object = from.if_object();
        if (object == nullptr) return false;
        FieldReader reader(*object);
        fields(reader, value);
        return true;
    }

    const json::object& object_;
};

}  // namespace penstock::app
