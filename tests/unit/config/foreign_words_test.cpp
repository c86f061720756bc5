#include "config/foreign_words.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "config/key_table.hpp"
#include "config/suggest.hpp"

namespace penstock::config {
namespace {

/// The keys and tables that the text of an equivalent names.
bool names_something_real(std::string_view equivalent) {
    if (equivalent.starts_with("nothing:")) return true;
    if (equivalent.starts_with('[')) {
        const auto header = equivalent.substr(0, equivalent.find_last_of(']') + 1);
        const auto first = header.substr(0, header.find(' '));
        return first.starts_with("[defaults.") ||
               std::ranges::any_of(all_tables(), [&](const auto& t) { return t.header == first; });
    }
    const auto end = equivalent.find_first_of(" ,;");
    const auto name = equivalent.substr(0, end);
    const auto in = equivalent.find(" in [");
    return std::ranges::any_of(all_tables(), [&](const TableSpec& table) {
        const bool here =
            in == std::string_view::npos || equivalent.substr(in + 4).starts_with(table.header);
        return here && table.find(name) != nullptr;
    });
}

TEST(ConfigForeignWords, EquivalentsExist) {
    for (const auto& row : all_foreign_keys())
        EXPECT_TRUE(names_something_real(row.equivalent)) << row.word << ": " << row.equivalent;
}

TEST(ConfigForeignWords, ScopesAndValuesExist) {
    for (const auto& row : all_foreign_keys())
        if (!row.scope.empty()) {
            EXPECT_NO_THROW((void)table_spec(row.scope)) << row.word;
        }
    for (const auto& row : all_foreign_values()) {
        if (row.scope.empty()) continue;  // "never"
        const bool known = std::ranges::any_of(all_tables(), [&](const TableSpec& table) {
            const auto* key = table.find(row.scope);
            if (key == nullptr) return false;
            const auto words = split_words(key->words);
            return std::ranges::find(words, row.equivalent) != words.end();
        });
        EXPECT_TRUE(known) << row.scope << ' ' << row.word << ": " << row.equivalent;
    }
}

/// A row for a key that exists would never be shown where it exists.
TEST(ConfigForeignWords, NoRowIsShadowedByAKeyOfItsScope) {
    for (const auto& row : all_foreign_keys())
        if (!row.scope.empty()) {
            EXPECT_EQ(table_spec(row.scope).find(row.word), nullptr)
                << row.scope << ' ' << row.word;
        }
}

TEST(ConfigForeignWords, SpecificScopesWin) {
    EXPECT_EQ(foreign_key("timeout", "listener.timeouts")->equivalent, "idle");
    EXPECT_EQ(foreign_key("timeout", "listener")->equivalent, "idle in [listener.timeouts]");
    EXPECT_EQ(foreign_key("Timeout", "upstream")->equivalent, "connect_timeout");
    EXPECT_EQ(foreign_key("no such word", ""), nullptr);
    EXPECT_EQ(foreign_key("uid", "processes"), nullptr) << "a scope is a whole name";
}

TEST(ConfigSuggest, Nearest) {
    constexpr std::string_view names[] = {"connect_timeout", "attempts", "name", "bind", "balance"};
    EXPECT_EQ(nearest("conect_timeout", names), "connect_timeout");
    EXPECT_EQ(nearest("timeout_connect", names), std::nullopt);
    EXPECT_EQ(nearest("Connect-Timeout", names), "connect_timeout");
    EXPECT_EQ(nearest("attempt", names), "attempts");
    EXPECT_EQ(nearest("nmae", names), "name") << "a swap is one edit";
    EXPECT_EQ(nearest("bnid", names), "bind");
    EXPECT_EQ(nearest("xxxx", names), std::nullopt);
    EXPECT_EQ(nearest("b", names), std::nullopt);
    EXPECT_EQ(nearest("", names), std::nullopt);
    EXPECT_EQ(nearest(std::string(10'000, 'a'), names), std::nullopt);
    EXPECT_EQ(nearest("name", {}), std::nullopt);
}

}  // namespace
}  // namespace penstock::config
