#include <string>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using testing::load;
using testing::messages;
using testing::short_messages;
using testing::valid;

TEST(ConfigC1, SyntaxErrorIsReportedAloneInTheSameForm) {
    EXPECT_EQ(
        messages("unknown = 1\n[process\nworkers = 1\n"),
        "penstock.toml:2:9: error: not valid TOML: Error while parsing table header: expected "
        "']', saw '\\n'\n"
        "    2 | [process\n"
        "      |         ^\n");
}

TEST(ConfigC1, EveryKindOfMalformedText) {
    struct Row {
        std::string_view text;
        std::uint32_t line;
    };
    const Row rows[] = {
        {"a", 1},
        {"a =", 1},
        {"a = 1 b = 2", 1},
        {"\na = \"x\n", 2},
        {"a = 'x\n", 1},
        {"a = \"\"\"x\n", 1},
        {"a = [1, 2\n", 1},
        {"a = { b = 1\n", 1},
        {"a = 10s\n", 1},
        {"a = 0.0.0.0:80\n", 1},
        {"a = 99999999999999999999\n", 1},
        {"a = 1e999\n", 1},
        {"a = \"\\q\"\n", 1},
        {"a = \"\\uD800\"\n", 1},
        {"a = \"\xFF\"\n", 1},
        {"[a]]\n", 1},
        {"[]\n", 1},
        {"= 1\n", 1},
        {"a b = 1\n", 1},
        {"a = 1\rb = 2\n", 1},
        {"a = 2026-13-01\n", 1},
        {"#\x01\n", 1},
    };
    for (const auto& row : rows) {
        const auto result = load(row.text);
        ASSERT_EQ(result.diagnostics.size(), 1U) << row.text << format(result.diagnostics);
        const auto& d = result.diagnostics[0];
        EXPECT_EQ(d.severity, Severity::error);
        EXPECT_TRUE(d.message.starts_with("not valid TOML: ")) << d.message;
        EXPECT_EQ(d.message.find('\n'), std::string::npos);
        EXPECT_EQ(d.line, row.line) << row.text << format(d);
        EXPECT_GT(d.column, 0U);
    }
}

TEST(ConfigC1, DuplicateKeyPointsAtTheSecondOne) {
    EXPECT_EQ(
        messages("[process]\nworkers = 1\n  workers = 2\n"),
        "penstock.toml:3:3: error: not valid TOML: Error while parsing key-value pair: cannot "
        "redefine existing integer 'workers'\n"
        "    3 |   workers = 2\n"
        "      |   ^^^^^^^\n");
}

TEST(ConfigC1, TableGivenTwiceExplainsDoubleBrackets) {
    const auto text = messages("[listener]\nname = \"a\"\n[listener]\nname = \"b\"\n");
    EXPECT_NE(text.find("penstock.toml:3:1: error: "), std::string::npos) << text;
    EXPECT_NE(text.find("[[name]]"), std::string::npos) << text;
}

TEST(ConfigC1, BomAndCrlfAreAccepted) {
    std::string text = "\xEF\xBB\xBF" + valid();
    for (std::size_t i = 0; (i = text.find('\n', i)) != std::string::npos; i += 2)
        text.replace(i, 1, "\r\n");
    EXPECT_TRUE(load(text).diagnostics.empty()) << messages(text);
    // Places stay right.
    EXPECT_EQ(
        messages("\xEF\xBB\xBFincludes = 1\r\n" + valid()),
        "penstock.toml:1:1: error: unknown key 'includes' at the top of the file; did you mean "
        "'include'?\n"
        "    1 | includes = 1\n"
        "      | ^^^^^^^^\n");
}

TEST(ConfigC1, NulByte) {
    EXPECT_EQ(short_messages(std::string_view("a = 1\nb = \"x\0y\"\n", 16)),
              (std::vector<std::string>{"2:7 error: a NUL byte; the file is no text"}));
}

TEST(ConfigC1, ControlCharacters) {
    EXPECT_EQ(short_messages("a = 1\n[\x04x]\n"),
              (std::vector<std::string>{"2:2 error: not valid TOML: the control character '\\x04'; "
                                        "inside a string it is written \"\\u0004\""}));
    for (const auto* text : {"\x1b", "a = \"\x7F\"", "[[\x01]]", "a = { \x02 = 1 }", "a.\x03 = 1"})
        EXPECT_NE(messages(text).find("the control character"), std::string::npos) << text;
}

TEST(ConfigC1, LettersBeyondAsciiWhereAKeyOrValueShouldBe) {
    // Latin, Georgian, an Arabic presentation form, ideographic space, byte order mark within.
    for (const std::string letter :
         {"\xC3\xA4", "\xE1\x83\x90", "\xEF\xBB\xAF", "\xE3\x80\x80", "\xEF\xBB\xBF"})
        for (const auto& text :
             {letter, "a" + letter + " = 1", "a = " + letter, "a = 1 " + letter, "[" + letter + "]",
              "a = [" + letter + "]", "\n" + letter + " = 1"})
            EXPECT_FALSE(load(text).ok()) << text;
    EXPECT_TRUE(load(valid("# \xC3\xA4 \xEF\xBB\xAF")).ok());
}

TEST(ConfigC1, Utf16) {
    EXPECT_EQ(messages(std::string_view("\xFF\xFE[\0", 4)),
              "penstock.toml: error: is UTF-16; save it as UTF-8\n");
}

TEST(ConfigC1, NoText) {
    for (const auto* text : {"", "\n", "# only a comment\n"}) {
        const auto result = load(text);
        ASSERT_EQ(result.diagnostics.size(), 1U);
        EXPECT_NE(result.diagnostics[0].message.find("there is no [[listener]]"),
                  std::string::npos);
    }
}

TEST(ConfigC1, DeepNestingIsRefusedBeforeItIsParsed) {
    const std::string open(10'000, '[');
    const std::string close(10'000, ']');
    std::string tables;
    std::string dotted = "a";
    for (int i = 0; i < 100'000; ++i) {
        tables += "{a=";
        dotted += ".a";
    }
    for (const auto& text : {"a = " + open + close, "a = " + open, open + "a" + close,
                             "a = " + tables, dotted + " = 1", "[" + dotted + "]"}) {
        const auto result = load(text);
        ASSERT_EQ(result.diagnostics.size(), 1U);
        EXPECT_NE(result.diagnostics[0].message.find("nested too deeply"), std::string::npos)
            << format(result.diagnostics);
    }
}

TEST(ConfigC1, BracketsInStringsAndCommentsAreNotNesting) {
    const std::string brackets(100, '[');
    const auto text =
        "# " + brackets + "\n" +
        valid("# it's " + brackets + "\n", {},
              "log.target = \"\\\"" + brackets + "\"\naccess_log.target = '/x" + brackets + "'\n");
    EXPECT_TRUE(load(text).ok()) << messages(text);
}

TEST(ConfigC1, AnUnclosedBracketFurtherUpIsTheErrorThatCounts) {
    std::string text = "[process\n";
    for (int i = 0; i < 100; ++i) text += "[x\n";
    const auto result = load(text);
    ASSERT_EQ(result.diagnostics.size(), 1U);
    EXPECT_EQ(result.diagnostics[0].line, 1U) << format(result.diagnostics);
}

TEST(ConfigC1, AllErrorsAtOnceInOrder) {
    const auto all = short_messages(
        "[[upstream]]\nname = \"u 1\"\nbackend = \"x\"\natempts = 1\n[process]\nworkers = 0\n"
        "[[listener]]\nbind = 5\n");
    EXPECT_EQ(all.size(), 6U);
    const std::vector<std::string> starts = {"2:8 ",
                                             "3:11 ",
                                             "4:1 ",
                                             "6:11 ",
                                             "7:1 error: [[listener]] "
                                             "without 'name'",
                                             "8:8 "};
    for (std::size_t i = 0; i < std::min(all.size(), starts.size()); ++i)
        EXPECT_TRUE(all[i].starts_with(starts[i])) << all[i];
}

TEST(ConfigC1, WrongTypeOfEveryKey) {
    // A table where a value should be, a value where a table should be: never accepted, no crash.
    for (const auto* text :
         {"process = 1", "process = []", "log = \"x\"", "access_log = true", "listener = 1",
          "listener = [1]", "upstream = \"web\"", "upstream = [[]]", "include = 1",
          "include = [[\"x\"]]", "defaults = 1", "defaults.listener = 1", "admin = 1"}) {
        const auto result = load(text);
        EXPECT_FALSE(result.ok()) << text;
    }
}

}  // namespace
}  // namespace penstock::config
