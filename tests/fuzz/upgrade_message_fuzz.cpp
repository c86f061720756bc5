// Any text is read without a crash; what was read is written to a text that reads to the same; it
// can be added up.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <variant>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "app/upgrade/messages.hpp"

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

namespace json = boost::json;

// Boost.JSON reads a number of more digits than a double holds exactly to within a few units in
// its last place. The API writes none: its numbers have three decimals, and pass exactly
// (Messages.numbers_of_the_api_pass_exactly).
bool is_same(double one, double other) { return std::abs(one - other) <= 1e-14 * std::abs(one); }

bool is_same(const json::value& one, const json::value& other);

bool is_same(const json::object& one, const json::object& other) {
    return one.size() == other.size() && std::ranges::all_of(one, [&](const auto& member) {
               const json::value* found = other.if_contains(member.key());
               return found != nullptr && is_same(member.value(), *found);
           });
}

bool is_same(const json::value& one, const json::value& other) {
    if (one.kind() != other.kind()) return false;
    if (one.is_double()) return is_same(one.get_double(), other.get_double());
    if (one.is_object()) return is_same(one.get_object(), other.get_object());
    if (!one.is_array()) return one == other;
    return std::ranges::equal(
        one.get_array(), other.get_array(),
        [](const json::value& left, const json::value& right) { return is_same(left, right); });
}

// Boost.JSON reads 1e309 as infinity, for which JSON has no word; nor does the API write it.
bool is_writable(const json::value& value) {
    const auto is_good = [](const auto& each) {
        if constexpr (requires { each.value(); })
            return is_writable(each.value());
        else
            return is_writable(each);
    };
    if (value.is_double()) return std::abs(value.get_double()) < 1e308;
    if (value.is_object()) return std::ranges::all_of(value.get_object(), is_good);
    return !value.is_array() || std::ranges::all_of(value.get_array(), is_good);
}

template <typename T>
void forget_unwritable(json::array T::* list, penstock::app::upgrade::Message& message) {
    auto* found = std::get_if<T>(&message);
    if (found != nullptr && !is_writable(found->*list)) (found->*list).clear();
}

// What passes as JSON, whatever is in it: taken out of both, and compared.
template <typename T>
void require_same_lists(json::array T::* list, penstock::app::upgrade::Message& one,
                        penstock::app::upgrade::Message& other) {
    auto* left = std::get_if<T>(&one);
    auto* right = std::get_if<T>(&other);
    if (left == nullptr || right == nullptr) return;
    require(is_same(left->*list, right->*list), "a list is read as something else\n");
    (left->*list).clear();
    (right->*list).clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    namespace upgrade = penstock::app::upgrade;
    auto message = upgrade::decode(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!message) {
        require(!message.error().empty(), "a refusal without a word\n");
        return 0;
    }
    forget_unwritable(&upgrade::SessionsAnswer::sessions, *message);
    forget_unwritable(&upgrade::OrderAnswer::closes, *message);
    auto again = upgrade::decode(upgrade::encode(*message));
    require(again.has_value(), "what was written is not read\n");
    require_same_lists(&upgrade::SessionsAnswer::sessions, *message, *again);
    require_same_lists(&upgrade::OrderAnswer::closes, *message, *again);
    require(upgrade::encode(*again) == upgrade::encode(*message),
            "what was written is read as something else\n");
    if (const auto* figures = std::get_if<upgrade::Figures>(&*message)) {
        auto sum = figures->ledger;
        sum += figures->ledger;
        auto gauges = figures->gauges;
        gauges += figures->gauges;
    }
    if (const auto* manifest = std::get_if<upgrade::Manifest>(&*message))
        static_cast<void>(manifest->descriptors());
    return 0;
}
