#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "config/peers.hpp"
#include "config/server_name.hpp"
#include "config/value.hpp"
#include "config/value_reader.hpp"

/// Values that are lists, where one plain value will do for a list of one.
namespace penstock::config {

namespace {

/// Elements of a list; one plain value is a list of one.
std::span<const Node> elements(const Node& node) {
    if (const auto* array = node.as<Array>()) return array->elements;
    return {&node, 1};
}

}  // namespace

void ValueReader::read_words(const Field& field, const Node& node) {
    const auto& slot = std::get<FlagsSlot>(field.slot);
    std::vector<bool> given(slot.flags.size());
    for (const auto& element : elements(node)) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        const auto number = word_number(field, element, *value);
        if (!number) continue;
        if (given[*number]) complain(field, element, *value, "is there twice");
        origins_.set(fmt::format("{}.{}", field.path, *value), element.where);
        given[*number] = true;
    }
    for (std::size_t i = 0; i < given.size(); ++i) *slot.flags[i] = given[i];
}

void ValueReader::read_strings(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<std::string>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node))
        if (auto value = text(field.key, field.header, element)) {
            origins_.set(fmt::format("{}[{}]", field.path, target.size()), element.where);
            target.push_back(*std::move(value));
        }
}

void ValueReader::read_paths(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<std::string>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node)) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        if (value->empty()) {
            complain(field, element, *value, "is no file");
            continue;
        }
        origins_.set(fmt::format("{}[{}]", field.path, target.size()), element.where);
        target.push_back(absolute_path(*value, directory(element)));
    }
}

void ValueReader::read_server_names(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<std::string>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node)) {
        auto value = text(field.key, field.header, element);
        if (!value) continue;
        const auto valid =
            value->empty() ? std::expected<void, std::string>() : check_server_name(*value);
        if (!valid) {
            complain(field, element, *value, valid.error());
            continue;
        }
        if (std::ranges::find(target, *value) != target.end()) {
            complain(field, element, *value, "is there twice");
            continue;
        }
        origins_.set(fmt::format("{}[{}]", field.path, target.size()), element.where);
        target.push_back(*std::move(value));
    }
}

void ValueReader::read_bind(const Field& field, const Node& node) {
    if (const auto* binds = std::get_if<std::vector<Bind>*>(&field.slot))
        read_binds(field, node, **binds, parse_bind);
    else
        read_binds(field, node, *std::get<std::vector<Endpoint>*>(field.slot),
                   parse_admin_bind_address);
}

template <typename T>
void ValueReader::read_binds(const Field& field, const Node& node, std::vector<T>& target,
                             BindParser<T> parse) {
    target.clear();
    const auto all = elements(node);
    if (all.empty())
        reporter_.error(node.where,
                        fmt::format("'{}' in {} is empty; write {} = {}", field.key.name,
                                    field.header, field.key.name, field.key.example));
    for (const auto& element : all) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        auto binds = parse(*value, directory(element));
        if (!binds) {
            complain(field, element, *value, binds.error());
            continue;
        }
        for (auto& bind : *binds) {
            origins_.set(fmt::format("{}[{}]", field.path, target.size()), element.where);
            target.push_back(std::move(bind));
        }
    }
}

void ValueReader::read_local_addresses(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<Endpoint>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node)) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        auto endpoint = parse_local_address(*value);
        if (!endpoint) {
            complain(field, element, *value, endpoint.error());
            continue;
        }
        if (std::ranges::find(target, *endpoint) != target.end()) {
            complain(field, element, *value, "is there twice");
            continue;
        }
        origins_.set(fmt::format("{}[{}]", field.path, target.size()), element.where);
        target.push_back(*std::move(endpoint));
    }
}

void ValueReader::read_name_servers(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<Endpoint>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node)) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        if (auto server = parse_name_server(*value))
            target.push_back(*std::move(server));
        else
            complain(field, element, *value, server.error());
    }
}

void ValueReader::read_statuses(const Field& field, const Node& node) {
    auto& target = *std::get<std::vector<StatusRange>*>(field.slot);
    target.clear();
    for (const auto& element : elements(node)) {
        auto written = element.as<std::int64_t>() != nullptr
                           ? std::optional(std::to_string(*element.as<std::int64_t>()))
                           : text(field.key, field.header, element);
        if (!written) continue;
        if (const auto range = parse_status_range(*written))
            target.push_back(*range);
        else
            complain(field, element, *written, range.error());
    }
}

void ValueReader::read_peers(const Field& field, const Node& node) {
    auto& target = *std::get<PeerList*>(field.slot);
    target = {};
    for (const auto& element : elements(node)) {
        const auto value = text(field.key, field.header, element);
        if (!value) continue;
        if (const auto added = add_peer(target, *value); !added)
            complain(field, element, *value, added.error());
    }
}

}  // namespace penstock::config
