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

std::string format_list(const std::vector<std::string>& elements) {
    return fmt::format("[{}]", fmt::join(elements, ", "));
}

std::string format_strings(const std::vector<std::string>& texts) {
    std::vector<std::string> elements;
    elements.reserve(texts.size());
    for (const auto& text : texts) elements.push_back(format_string(text));
    return format_list(elements);
}

std::string format_number(double value) {
    auto text = fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";  // TOML: else an integer
    return text;
}

struct Formatter {
    const Key& key;

    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const std::uint32_t* value) const {
        return key.kind == Kind::mode ? format_string(format_mode(*value)) : integer(*value);
    }
    std::string operator()(const std::uint64_t* value) const {
        return key.kind == Kind::byte_rate ? format_string(format_byte_rate(*value))
                                           : integer(*value);
    }
    std::string operator()(const double* value) const { return format_number(*value); }
    std::string operator()(const Duration* value) const {
        return format_string(format_duration(*value));
    }
    std::string operator()(const std::string* value) const { return format_string(*value); }
    std::string operator()(const std::vector<std::string>* value) const {
        return format_strings(*value);
    }
    std::string operator()(const AddressSlot& slot) const {
        return format_string(slot.host->empty() ? format_endpoint(*slot.endpoint)
                                                : fmt::format("{}:{}", *slot.host, *slot.port));
    }
    std::string operator()(const std::vector<StatusRange>* value) const {
        std::vector<std::string> elements;
        for (const auto& range : *value) elements.push_back(format_status_range(range));
        return format_strings(elements);
    }
    std::string operator()(const std::vector<Endpoint>* value) const {
        std::vector<std::string> elements;
        for (const auto& element : *value)
            elements.push_back(key.kind == Kind::local_addresses ? format_local_address(element)
                                                                 : format_endpoint(element));
        return format_strings(elements);
    }
    std::string operator()(const Rate* value) const { return format_string(format_rate(*value)); }
    std::string operator()(const PeerList* value) const {
        return format_strings(format_peers(*value));
    }
    std::string operator()(const WordSlot& slot) const {
        return format_string(split_words(key.words).at(slot.get(slot.value)));
    }
    std::string operator()(const FlagsSlot& slot) const {
        const auto words = split_words(key.words);
        std::vector<std::string> elements;
        for (std::size_t i = 0; i < slot.flags.size(); ++i)
            if (*slot.flags[i]) elements.push_back(format_string(words.at(i)));
        return format_list(elements);
    }
    std::string operator()(const TableSlot&) const { return {}; }
    std::string operator()(const RowsSlot&) const { return {}; }

private:
    std::string integer(std::uint64_t value) const {
        return key.allows_auto && value == 0 ? format_string("auto") : fmt::format("{}", value);
    }
};

}  // namespace

std::string format_value(const Key& key, const Slot& slot) {
    return std::visit(Formatter{key}, slot);
}

std::string default_text(const TableSpec& table, const Key& key) {
    if (!key.supported) return std::string(key.planned_default);
    if (key.required || !key.default_from.empty() || table.make == nullptr) return {};
    const auto object = table.make();
    return format_value(key, key.access(object.get()));
}

}  // namespace penstock::config
