#include "config/reference.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "config/key_table.hpp"
#include "support.hpp"

/// What the reference page promises: every key that stands there may be written.
namespace penstock::config {
namespace {

struct Row {
    std::string key;
    std::string value;  // its default as TOML; "" = none
    bool is_table = false;
};

struct Section {
    std::string header;
    std::vector<Row> rows;
};

/// The cells of `| a | b | c |`.
std::vector<std::string> cells(std::string_view line) {
    std::vector<std::string> all;
    line.remove_prefix(2);
    while (true) {
        const auto end = line.find(" | ");
        if (end == std::string_view::npos) break;
        all.emplace_back(line.substr(0, end));
        line.remove_prefix(end + 3);
    }
    all.emplace_back(line.substr(0, line.find_last_of('|')));
    return all;
}

std::string without_ticks(std::string text) {
    std::erase(text, '`');
    return text;
}

/// The tables below "## Keys".
std::vector<Section> sections_of_the_page() {
    std::ifstream file(PENSTOCK_REFERENCE_PAGE);
    std::vector<Section> all;
    bool is_reference = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("## ")) is_reference = line == "## Keys";
        if (!is_reference) continue;
        if (line.starts_with("### ")) all.push_back({without_ticks(line.substr(4)), {}});
        if (!line.starts_with("| `") || all.empty()) continue;
        const auto row = cells(line);
        if (row.size() < 4) continue;
        const bool is_table = row[1].starts_with("table, see") || row[1].starts_with("tables, see");
        all.back().rows.push_back(
            {without_ticks(row[0]), row[2] == "required" ? "" : without_ticks(row[2]), is_table});
    }
    return all;
}

using Place = std::pair<std::string, std::string>;

/// What the defaults do not say: values that must be given, and files that the test makes.
std::map<Place, std::string> given(const testing::TemporaryDirectory& directory) {
    directory.write("allow.txt", "10.0.0.0/8\n");
    directory.write("deny.txt", "10.9.0.0/16\n");
    const auto path = [&](std::string_view name) {
        return fmt::format("\"{}/{}\"", directory.path().string(), name);
    };
    return {
        {{"[[listener]]", "name"}, "\"web\""},
        {{"[[listener]]", "bind"}, "\":0\""},
        {{"[[listener]]", "allow_file"}, path("allow.txt")},
        {{"[[listener]]", "deny_file"}, path("deny.txt")},
        {{"[[listener.split]]", "upstream"}, "\"web\""},
        {{"[[listener.route.split]]", "upstream"}, "\"web\""},
        {{"[[listener.tls.certificates]]", "cert"}, "\"web.pem\""},
        {{"[[upstream]]", "name"}, "\"web\""},
        {{"[[upstream.backend]]", "name"}, "\"a\""},
        {{"[[upstream.backend]]", "address"}, "\"10.0.0.1:80\""},
        {{"[[upstream.discovery]]", "name"}, "\"web.internal\""},
        {{"[[upstream.discovery]]", "port"}, "80"},
    };
}

/// A file with every key of every table.
std::string complete_file(const std::vector<Section>& sections,
                          const std::map<Place, std::string>& values, std::set<Place>& written) {
    std::string text;
    for (const auto& section : sections) {
        const bool is_top = section.header == "Top of the file";
        const bool is_defaults = section.header.starts_with("[defaults");
        if (!is_top && !is_defaults) text += section.header + '\n';
        for (const auto& row : section.rows) {
            written.emplace(section.header, row.key);
            const auto own = values.find({section.header, row.key});
            const auto value = own == values.end() ? row.value : own->second;
            if (row.is_table || is_defaults || value.empty()) continue;
            text += fmt::format("{} = {}\n", row.key, value);
        }
    }
    return text;
}

TEST(ConfigReference, EveryKeyOfThePageMayBeWritten) {
    const testing::TemporaryDirectory directory;
    std::set<Place> written;
    const auto text = complete_file(sections_of_the_page(), given(directory), written);
    const auto result = testing::load(text);
    EXPECT_TRUE(result.ok()) << format(result.diagnostics) << text;
    for (const auto& diagnostic : result.diagnostics)
        EXPECT_EQ(diagnostic.message.find("not supported"), std::string::npos)
            << diagnostic.message;
    std::set<Place> known;
    for (const auto& table : all_tables())
        for (const auto& key : table.keys)
            known.emplace(table.path.empty() ? "Top of the file" : table.header, key.name);
    EXPECT_EQ(written, known);
    EXPECT_GT(written.size(), 200U);
}

}  // namespace
}  // namespace penstock::config
