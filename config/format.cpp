#include "config/format.hpp"

#include <concepts>
#include <type_traits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/key_table.hpp"
#include "config/peers.hpp"
#include "config/quantity.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

std::string format_number(double value) {
    auto text = fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";  // TOML: else an integer
    return text;
}

enum class Style : std::uint8_t { toml, plain };

struct Formatter {
    const Key& key;
    Style style;

    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const std::uint32_t* value) const {
        return key.kind == Kind::mode ? string(format_mode(*value)) : integer(*value);
    }
    std::string operator()(const std::uint64_t* value) const {
        if (key.kind == Kind::byte_rate) return string(format_byte_rate(*value));
        if (key.kind == Kind::size && (*value != 0 || !key.allows_auto))
            return string(format_size(*value));
        return integer(*value);
    }
    std::string operator()(const double* value) const { return format_number(*value); }
    std::string operator()(const Duration* value) const { return string(format_duration(*value)); }
    std::string operator()(const std::string* value) const { return string(*value); }
    std::string operator()(const std::vector<std::string>* value) const { return strings(*value); }
    std::string operator()(const AddressSlot& slot) const {
        return string(slot.host->empty() ? format_endpoint(*slot.endpoint)
                                         : fmt::format("{}:{}", *slot.host, *slot.port));
    }
    std::string operator()(const std::vector<StatusRange>* value) const {
        std::vector<std::string> elements;
        for (const auto& range : *value) elements.push_back(format_status_range(range));
        return strings(elements);
    }
    std::string operator()(const std::vector<SniUpstream>* value) const {
        std::vector<std::string> elements;
        elements.reserve(value->size());
        for (const auto& row : *value)
            elements.push_back(
                fmt::format("{} = {}", format_string(row.name), string(row.upstream)));
        const auto joined = fmt::format("{}", fmt::join(elements, ", "));
        if (style == Style::plain || joined.empty()) return style == Style::plain ? joined : "{}";
        return fmt::format("{{ {} }}", joined);
    }
    std::string operator()(const std::vector<Bind>* value) const {
        std::vector<std::string> elements;
        for (const auto& bind : *value) elements.push_back(bind.to_string());
        return strings(elements);
    }
    std::string operator()(const std::vector<Endpoint>* value) const {
        std::vector<std::string> elements;
        for (const auto& element : *value)
            elements.push_back(key.kind == Kind::local_addresses ? format_local_address(element)
                                                                 : format_endpoint(element));
        return strings(elements);
    }
    std::string operator()(const Rate* value) const { return string(format_rate(*value)); }
    std::string operator()(const PeerList* value) const { return strings(format_peers(*value)); }
    std::string operator()(const WordSlot& slot) const {
        return string(split_words(key.words).at(slot.get(slot.value)));
    }
    std::string operator()(const FlagsSlot& slot) const {
        const auto words = split_words(key.words);
        std::vector<std::string> elements;
        for (std::size_t i = 0; i < slot.flags.size(); ++i)
            if (*slot.flags[i]) elements.emplace_back(words.at(i));
        return strings(elements);
    }
    std::string operator()(const TableSlot&) const { return {}; }
    std::string operator()(const OptionalSlot&) const { return {}; }
    std::string operator()(const RowsSlot&) const { return {}; }

private:
    std::string integer(std::uint64_t value) const {
        return key.allows_auto && value == 0 ? string("auto") : fmt::format("{}", value);
    }
    std::string string(std::string_view text) const {
        auto quoted = format_string(text);
        return style == Style::toml ? quoted : quoted.substr(1, quoted.size() - 2);
    }
    std::string strings(const std::vector<std::string>& texts) const {
        std::vector<std::string> elements;
        elements.reserve(texts.size());
        for (const auto& text : texts) elements.push_back(string(text));
        return list(elements);
    }
    std::string list(const std::vector<std::string>& elements) const {
        const auto joined = fmt::format("{}", fmt::join(elements, ", "));
        return style == Style::toml ? fmt::format("[{}]", joined) : joined;
    }
};

/// The struct of a table, null where there is none.
void* table_object(const Slot& slot) {
    if (const auto* table = std::get_if<TableSlot>(&slot)) return table->object;
    const auto* optional = std::get_if<OptionalSlot>(&slot);
    return optional == nullptr ? nullptr : optional->get(optional->optional);
}

std::vector<const Key*> stored_keys(const TableSpec& spec) {
    std::vector<const Key*> keys;
    for (const auto& key : spec.keys)
        if (key.is_stored()) keys.push_back(&key);
    return keys;
}

std::vector<std::string> format_rows(const Key& key, const RowsSlot& rows, Style style) {
    const auto& spec = table_spec(key.child);
    const auto keys = stored_keys(spec);
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < rows.size(rows.rows); ++i) {
        void* row = rows.at(rows.rows, i);
        elements.push_back(style == Style::plain && keys.size() == 2
                               ? fmt::format("{}={}", format_plain(*keys[0], keys[0]->access(row)),
                                             format_plain(*keys[1], keys[1]->access(row)))
                               : format_table(spec, row));
    }
    return elements;
}

}  // namespace

std::string format_value(const Key& key, const Slot& slot) {
    return std::visit(Formatter{key, Style::toml}, slot);
}

std::string format_table(const TableSpec& spec, void* object) {
    std::string out;
    for (const auto* key : stored_keys(spec)) {
        const auto slot = key->access(object);
        if (is_absent(slot)) continue;
        out +=
            fmt::format("{}{} = {}", out.empty() ? "" : ", ", key->name, format_inline(*key, slot));
    }
    return fmt::format("{{ {} }}", out);
}

bool is_absent(const Slot& slot) {
    return std::holds_alternative<OptionalSlot>(slot) && table_object(slot) == nullptr;
}

std::string format_inline(const Key& key, const Slot& slot) {
    if (void* table = table_object(slot)) return format_table(table_spec(key.child), table);
    if (const auto* rows = std::get_if<RowsSlot>(&slot))
        return fmt::format("[{}]", fmt::join(format_rows(key, *rows, Style::toml), ", "));
    return format_value(key, slot);
}

std::string format_plain(const Key& key, const Slot& slot) {
    if (void* table = table_object(slot)) return format_table(table_spec(key.child), table);
    if (const auto* rows = std::get_if<RowsSlot>(&slot))
        return fmt::format("{}", fmt::join(format_rows(key, *rows, Style::plain), ", "));
    return std::visit(Formatter{key, Style::plain}, slot);
}

std::string default_text(const TableSpec& table, const Key& key) {
    if (key.required || !key.default_from.empty() || key.kind == Kind::map || table.make == nullptr)
        return {};
    const auto object = table.make();
    return format_value(key, key.access(object.get()));
}

}  // namespace penstock::config
