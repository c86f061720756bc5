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
bool is_same(double one, double other) {
    constexpr double much = 1e308;
    if (std::abs(one) >= much && std::abs(other) >= much) return (one > 0) == (other > 0);
    return std::abs(one - other) <= 1e-14 * std::abs(one);
}

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
