#include "config/document.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "config/format.hpp"
#include "config/guard.hpp"
#include "config/text.hpp"
#include "config/toml_library.hpp"

namespace penstock::config {

namespace {

class Converter {
public:
    Converter(const Source& source, std::uint32_t file) : source_(source), file_(file) {}

    Table convert_table(const toml::table& from) const {
        Table table;
        table.form = form_of(from);
        table.entries.reserve(from.size());
        for (const auto& [key, value] : from) {
            Entry entry{std::string(key.str()), region(key.source()), convert(value)};
            if (auto* inner = std::get_if<Table>(&entry.node.value);
                inner != nullptr && is_only_part_of_a_header(key.source().end, entry))
                inner->form = TableForm::implied;
            table.entries.push_back(std::move(entry));
        }
        // The library keeps keys sorted by name.
        std::ranges::sort(table.entries, {}, [](const Entry& entry) {
            return std::tuple(entry.key_where.line, entry.key_where.column);
        });
        return table;
    }

private:
    Region region(const toml::source_region& from) const {
        Region where{file_, from.begin.line, from.begin.column, 1};
        if (from.end.line == from.begin.line && from.end.column > from.begin.column) {
            where.length = from.end.column - from.begin.column;
        } else if (from.end.line > from.begin.line) {
            const auto size = count_characters(source_.line(from.begin.line));
            if (size >= where.column)
                where.length = static_cast<std::uint32_t>(size - where.column + 1);
        }
        return where;
    }

    TableForm form_of(const toml::table& from) const {
        if (from.is_inline()) return TableForm::inline_table;
        const auto line = source_.line(from.source().begin.line);
        const auto rest = line.substr(byte_offset(line, from.source().begin.column));
        return rest.starts_with('[') ? TableForm::header : TableForm::implied;
    }

    /// A table that only stands before a dot in the header of another has that header's place.
    bool is_only_part_of_a_header(toml::source_position key_end, const Entry& entry) const {
        if (entry.key_where.line != entry.node.where.line) return false;
        const auto line = source_.line(key_end.line);
        const auto rest = line.substr(byte_offset(line, key_end.column));
        const auto next = rest.find_first_not_of(" \t");
        return next != std::string_view::npos && rest[next] == '.';
    }

    Node convert(const toml::node& from) const {
        Node node;
        node.where = region(from.source());
        if (const auto* table = from.as_table()) {
            node.value = convert_table(*table);
        } else if (const auto* array = from.as_array()) {
            Array elements;
            elements.elements.reserve(array->size());
            for (const auto& element : *array) elements.elements.push_back(convert(element));
            elements.of_headers = of_headers(elements);
            node.value = std::move(elements);
        } else if (const auto* string = from.as_string()) {
            node.value = string->get();
        } else if (const auto* integer = from.as_integer()) {
            node.value = integer->get();
        } else if (const auto* number = from.as_floating_point()) {
            node.value = number->get();
        } else if (const auto* boolean = from.as_boolean()) {
            node.value = boolean->get();
        } else {
            node.value = DateOrTime{};
        }
        return node;
    }

    static bool of_headers(const Array& array) {
        return !array.elements.empty() && std::ranges::all_of(array.elements, [](const Node& n) {
            const auto* table = n.as<Table>();
            return table != nullptr && table->form == TableForm::header;
        });
    }

    const Source& source_;
    std::uint32_t file_;
};

/// The library points behind a key that is given twice; the key itself is the better place.
Region error_region(const Source& source, std::uint32_t file, const toml::parse_error& error) {
    Region where{file, error.source().begin.line, error.source().begin.column, 1};
    if (where.line == 0) where.line = 1;
    const auto line = source.line(where.line);
    if (error.description().find("cannot redefine") != std::string_view::npos) {
        const auto start = line.find_first_not_of(" \t");
        if (start != std::string_view::npos) {
            const auto end = line.find_first_of("=#", start);
            const auto key = line.substr(start, end == std::string_view::npos ? end : end - start);
            where.column = static_cast<std::uint32_t>(start + 1);
            where.length = static_cast<std::uint32_t>(
                count_characters(key.substr(0, key.find_last_not_of(" \t") + 1)));
        }
    }
    return where;
}

std::string error_message(std::string_view description) {
    std::string message = "not valid TOML: ";
    for (const char c : description) {
        if (c == '\n')
            message += "\\n";
        else
            message += c;
    }
    if (description.find("cannot redefine existing table") != std::string_view::npos &&
        description.find("array-of-tables") == std::string_view::npos)
        message += "; a table that there is several times has two brackets: [[name]]";
    return message;
}

std::expected<Table, SyntaxError> parse_text(std::string_view text, const Source& source,
                                             std::uint32_t file) {
    try {
        const toml::table root = toml::parse(text);
        return Converter(source, file).convert_table(root);
    } catch (const toml::parse_error& error) {
        return std::unexpected(
            SyntaxError{error_region(source, file, error), error_message(error.description())});
    } catch (const std::logic_error& error) {
        return std::unexpected(
            SyntaxError{{file, 0, 0, 0}, fmt::format("not valid TOML: {}", error.what())});
    }
}

}  // namespace

const Entry* Table::find(std::string_view key) const noexcept {
    const auto found = std::ranges::find(entries, key, &Entry::key);
    return found == entries.end() ? nullptr : &*found;
}

std::expected<Table, SyntaxError> parse_document(const Source& source, std::uint32_t file) {
    const std::string_view text = source.text();
    auto refused = guard_text(source, file);
    if (!refused) return parse_text(text, source, file);
    // An unclosed bracket further up may be what made the rest look deep: then that is the error.
    const auto before = source.line_start(refused->where.line);
    if (auto head = parse_text(text.substr(0, before), source, file);
        !head && head.error().where.line < refused->where.line)
        return std::unexpected(std::move(head.error()));
    return std::unexpected(*std::move(refused));
}

std::string_view describe_type(const Node& node) noexcept {
    static constexpr std::string_view names[] = {
        "a string", "an integer", "a number", "a boolean", "a date or time", "a list", "a table"};
    return names[node.value.index()];
}

std::string format_string(std::string_view text) {
    const toml::value<std::string> value{std::string(text)};
    std::ostringstream out;
    out << toml::toml_formatter{value, toml::format_flags::none};
    return std::move(out).str();
}

}  // namespace penstock::config
