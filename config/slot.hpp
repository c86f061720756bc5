#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/prefix.hpp"
#include "config/config.hpp"

/// Typed access to one member of a configuration struct whose type the caller does not know: what
/// lets a table of keys drive loading, printing and comparing.
namespace penstock::config {

/// An enumeration, as the number of its enumerator.
struct WordSlot {
    void* value;
    std::uint8_t (*get)(const void* value);
    void (*set)(void* value, std::uint8_t number);
};

/// Several bools that one list of words sets, in the order of the words.
struct FlagsSlot {
    std::vector<bool*> flags;
};

/// Where to connect to: an address, or a host name with a port.
struct AddressSlot {
    Endpoint* endpoint;  // empty where there is a host
    std::string* host;   // "" = none
    std::uint16_t* port;
};

/// A nested struct.
struct TableSlot {
    void* object;
};

/// A nested struct that need not be there: its table in the file makes it.
struct OptionalSlot {
    void* optional;
    /// Null = it is not there.
    void* (*get)(void* optional);
    /// Makes it where it is not there, and returns it.
    void* (*make)(void* optional);
};

/// A vector of structs. Growing it invalidates slots into it.
struct RowsSlot {
    void* rows;
    std::size_t (*size)(void* rows);
    void* (*at)(void* rows, std::size_t index);
    void (*clear)(void* rows);
    /// Appends a copy of `*prototype`, a default one where that is null, and returns it.
    void* (*append)(void* rows, const void* prototype);
};

using Slot =
    std::variant<std::monostate, bool*, std::uint32_t*, std::uint64_t*, double*, Duration*,
                 std::string*, std::vector<std::string>*, std::vector<Endpoint>*,
                 std::vector<Bind>*, std::vector<StatusRange>*, std::vector<SniUpstream>*, Rate*,
                 PeerList*, AddressSlot, WordSlot, FlagsSlot, TableSlot, OptionalSlot, RowsSlot>;

/// Finds a member of the struct at `object`, which must have the type the row was written for.
using Access = Slot (*)(void* object);

namespace detail {

template <typename T, typename Variant>
struct IsAlternative;
template <typename T, typename... Ts>
struct IsAlternative<T, std::variant<Ts...>> : std::disjunction<std::is_same<T, Ts>...> {};

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <typename E>
Slot word_slot(E& value) {
    return WordSlot{
        &value,
        [](const void* at) { return static_cast<std::uint8_t>(*static_cast<const E*>(at)); },
        [](void* at, std::uint8_t number) { *static_cast<E*>(at) = static_cast<E>(number); }};
}

template <typename T>
Slot rows_slot(std::vector<T>& value) {
    using Rows = std::vector<T>;
    return RowsSlot{
        &value, [](void* rows) { return static_cast<Rows*>(rows)->size(); },
        [](void* rows, std::size_t i) -> void* { return &static_cast<Rows*>(rows)->at(i); },
        [](void* rows) { static_cast<Rows*>(rows)->clear(); },
        [](void* rows, const void* prototype) -> void* {
            auto& all = *static_cast<Rows*>(rows);
            all.push_back(prototype == nullptr ? T{} : *static_cast<const T*>(prototype));
            return &all.back();
        }};
}

template <typename T>
Slot optional_slot(std::optional<T>& value) {
    using Optional = std::optional<T>;
    return OptionalSlot{&value,
                        [](void* at) -> void* {
                            auto& optional = *static_cast<Optional*>(at);
                            return optional ? &*optional : nullptr;
                        },
                        [](void* at) -> void* {
                            auto& optional = *static_cast<Optional*>(at);
                            return optional ? &*optional : &optional.emplace();
                        }};
}

template <typename T>
Slot make_slot(T& value) {
    if constexpr (IsAlternative<T*, Slot>::value)
        return &value;
    else if constexpr (std::is_enum_v<T>)
        return word_slot(value);
    else if constexpr (IsVector<T>::value)
        return rows_slot(value);
    else if constexpr (IsOptional<T>::value)
        return optional_slot(value);
    else
        return TableSlot{&value};
}

template <typename T, typename... Members>
auto& follow(T& object, Members... members) {
    return (object.*....*members);
}

template <typename T>
struct MemberOf;
template <typename Owner, typename T>
struct MemberOf<T Owner::*> {
    using Object = Owner;
};

}  // namespace detail

/// Access to the member that a chain of member pointers leads to:
/// at<&Root::config, &Config::process>.
template <auto First, auto... Rest>
Slot at(void* object) {
    auto& owner = *static_cast<typename detail::MemberOf<decltype(First)>::Object*>(object);
    return detail::make_slot(detail::follow(owner.*First, Rest...));
}

/// Access to the three members that together say where to connect to.
template <auto Address, auto Host, auto Port>
Slot address_at(void* object) {
    auto& owner = *static_cast<typename detail::MemberOf<decltype(Address)>::Object*>(object);
    return AddressSlot{&(owner.*Address), &(owner.*Host), &(owner.*Port)};
}

/// Access to several bool members of one struct.
template <auto First, auto... Rest>
Slot flags_at(void* object) {
    auto& owner = *static_cast<typename detail::MemberOf<decltype(First)>::Object*>(object);
    return FlagsSlot{{&(owner.*First), &(owner.*Rest)...}};
}

/// The same for the struct that is the member `Nested`.
template <auto Nested, auto... Flags>
Slot nested_flags_at(void* object) {
    auto& owner = *static_cast<typename detail::MemberOf<decltype(Nested)>::Object*>(object);
    return FlagsSlot{{&(owner.*Nested.*Flags)...}};
}

}  // namespace penstock::config
