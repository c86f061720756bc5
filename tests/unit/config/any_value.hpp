#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <type_traits>
#include <variant>

#include <fmt/format.h>

#include "config/key_table.hpp"

/// Configurations as the key table sees them, for properties that hold for every key there is.
namespace penstock::config::testing {

/// A value in a configuration.
struct Leaf {
    const TableSpec& spec;
    const Key& key;
    std::string path;  // from what has a name: `queue.timeout`
    Slot slot;

    [[nodiscard]] bool is_identity() const {
        for (const auto name : split_words(spec.identity))
            if (name == key.name) return true;
        return false;
    }
};

/// Calls `visit` for each value below `object`; a list of tables without identity is one value.
inline void each_leaf(const TableSpec& spec, void* object,
                      const std::function<void(const Leaf&)>& visit,
                      const std::string& prefix = {}) {
    for (const auto& key : spec.keys) {
        if (!key.is_stored()) continue;
        const auto slot = key.access(object);
        const auto path = prefix + std::string(key.name);
        if (const auto* table = std::get_if<TableSlot>(&slot)) {
            each_leaf(table_spec(key.child), table->object, visit,
                      spec.path.empty() ? "" : path + ".");
            continue;
        }
        if (const auto* optional = std::get_if<OptionalSlot>(&slot)) {
            if (void* table = optional->get(optional->optional))
                each_leaf(table_spec(key.child), table, visit, path + ".");
            else
                visit({spec, key, path, slot});
            continue;
        }
        const auto* rows = std::get_if<RowsSlot>(&slot);
        if (rows == nullptr || table_spec(key.child).identity.empty()) {
            visit({spec, key, path, slot});
            continue;
        }
        for (std::size_t i = 0; i < rows->size(rows->rows); ++i)
            each_leaf(table_spec(key.child), rows->at(rows->rows, i), visit);
    }
}

/// Gives a value another one. It need not pass the checks that span several keys.
struct Mutation {
    const Key& key;
    std::mt19937& engine;

    [[nodiscard]] std::uint32_t upto(std::uint32_t most) const {
        return std::uniform_int_distribution<std::uint32_t>(1, most)(engine);
    }
    [[nodiscard]] Endpoint endpoint() const {
        return Endpoint::ipv4(
            {10, static_cast<std::uint8_t>(upto(250)), static_cast<std::uint8_t>(upto(250)), 1},
            static_cast<std::uint16_t>(upto(60'000)));
    }

    void operator()(std::monostate) const {}
    void operator()(bool* value) const { *value = !*value; }
    void operator()(std::uint32_t* value) const { *value += upto(9); }
    void operator()(std::uint64_t* value) const { *value += upto(9); }
    void operator()(double* value) const { *value += upto(9) * 0.01; }
    void operator()(Duration* value) const {
        *value = (*value == never ? Duration{} : *value) + std::chrono::milliseconds(upto(5000));
    }
    void operator()(std::string* value) const { *value += static_cast<char>('a' + upto(26) - 1); }
    void operator()(std::vector<std::string>* value) const {
        value->push_back(fmt::format("s{}", upto(1000)));
    }
    void operator()(std::vector<Endpoint>* value) const { value->push_back(endpoint()); }
    void operator()(std::vector<Bind>* value) const {
        Bind bind = endpoint();
        if (upto(3) == 1) bind = *Bind::parse_inherited(fmt::format("fd:{}", 2 + upto(99)));
        value->push_back(bind);
    }
    void operator()(std::vector<StatusRange>* value) const {
        value->push_back({static_cast<std::uint16_t>(200 + upto(99)), 299});
    }
    void operator()(Rate* value) const {
        value->amount += upto(9);
        value->burst += upto(9);
    }
    void operator()(PeerList* value) const {
        const Prefix prefix{.bytes = {0x20, 0x01, static_cast<std::uint8_t>(upto(250)),
                                      static_cast<std::uint8_t>(upto(250))},
                            .length = 32};
        value->prefixes.push_back(prefix);
    }
    void operator()(const AddressSlot& slot) const {
        *slot.endpoint = endpoint();
        slot.host->clear();
        *slot.port = 0;
    }
    void operator()(const WordSlot& slot) const {
        const auto count = static_cast<std::uint32_t>(split_words(key.words).size());
        slot.set(slot.value,
                 static_cast<std::uint8_t>((slot.get(slot.value) + upto(count - 1)) % count));
    }
    void operator()(const FlagsSlot& slot) const {
        auto& flag = *slot.flags[upto(static_cast<std::uint32_t>(slot.flags.size())) - 1];
        flag = !flag;
    }
    void operator()(std::vector<SniUpstream>* value) const {
        const auto name = fmt::format("{}.example", upto(1000));
        const auto at = std::ranges::lower_bound(*value, name, {}, &SniUpstream::name);
        if (at == value->end() || at->name != name)
            value->insert(at, {name, "app"});
        else
            at->upstream += 'p';
    }
    void operator()(const TableSlot&) const {}
    void operator()(const OptionalSlot& slot) const { (void)slot.make(slot.optional); }
    void operator()(const RowsSlot& slot) const { (void)slot.append(slot.rows, nullptr); }
};

/// Mutates the value number `index` of `config`, and says how many there are.
inline std::size_t mutate(Config& config, std::size_t index, std::mt19937& engine) {
    Root root;
    root.config = std::move(config);
    std::size_t count = 0;
    each_leaf(table_spec(""), &root, [&](const Leaf& leaf) {
        if (count++ == index) std::visit(Mutation{leaf.key, engine}, leaf.slot);
    });
    config = std::move(root.config);
    return count;
}

}  // namespace penstock::config::testing
