#include "config/diagnostic.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

TEST(Diagnostic, LooksAsDocumented) {
    Diagnostic d;
    d.file = "penstock.toml";
    d.line = 31;
    d.column = 1;
    d.length = 14;
    d.message = "unknown key 'conect_timeout' in [[upstream]]; did you mean 'connect_timeout'?";
    d.source_line = "conect_timeout = \"3s\"";
    d.caret_length = 14;
    EXPECT_EQ(
        format(d),
        "penstock.toml:31:1: error: unknown key 'conect_timeout' in [[upstream]]; did you mean "
        "'connect_timeout'?\n"
        "   31 | conect_timeout = \"3s\"\n"
        "      | ^^^^^^^^^^^^^^\n");
}

TEST(Diagnostic, IsTheSameFromTheLoader) {
    EXPECT_EQ(
        testing::messages(testing::valid({}, "  conect_timeout = \"3s\"")),
        "penstock.toml:9:3: error: unknown key 'conect_timeout' in [[upstream]]; did you mean "
        "'connect_timeout'?\n"
        "    9 |   conect_timeout = \"3s\"\n"
        "      |   ^^^^^^^^^^^^^^\n");
}

TEST(Diagnostic, WarningsHaveTheSameForm) {
    const auto result = testing::load(testing::valid("[listener.timeouts]\nidle = \"never\""));
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(format(result.diagnostics),
              "penstock.toml:6:8: warning: 'idle' in [listener.timeouts] is \"never\": connections "
              "whose peers are alive but silent pile up until a limit is reached\n"
              "    6 | idle = \"never\"\n"
              "      |        ^^^^^^^\n");
}

TEST(Diagnostic, WholeFileHasNoPosition) {
    Diagnostic d;
    d.file = "a.toml";
    d.message = "is a directory, not a file";
    EXPECT_EQ(format(d), "a.toml: error: is a directory, not a file\n");
}

TEST(Diagnostic, LargeLineNumbersKeepTheBarsInLine) {
    Diagnostic d;
    d.file = "a.toml";
    d.line = 1234567;
    d.column = 2;
    d.message = "m";
    d.source_line = " x";
    d.caret_offset = 1;
    d.caret_length = 1;
    EXPECT_EQ(format(d), "a.toml:1234567:2: error: m\n1234567 |  x\n        |  ^\n");
}

TEST(Diagnostic, CaretsCountCharactersNotBytes) {
    EXPECT_EQ(testing::messages(testing::valid("\"\xC3\xA4\xC3\xB6\" = 1")),
              "penstock.toml:5:1: error: unknown key '\xC3\xA4\xC3\xB6' in [[listener]]\n"
              "    5 | \"\xC3\xA4\xC3\xB6\" = 1\n"
              "      | ^^^^\n");
}

TEST(Diagnostic, TabsAndControlCharactersCannotMoveTheCarets) {
    const auto text = testing::valid("\tbacklog\t= 0");
    EXPECT_EQ(testing::messages(text),
              "penstock.toml:5:12: error: 'backlog' in [[listener]] must be from 1 to 2147483647, "
              "not 0\n"
              "    5 |  backlog = 0\n"
              "      |            ^\n");
}

TEST(Diagnostic, EscapeSequencesOfTheFileDoNotReachTheTerminal) {
    const auto text = testing::messages(testing::valid("\"\\u001b[2J\xE2\x80\xAE\" = 1"));
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
    EXPECT_NE(text.find("'\\x1b[2J\\xe2\\x80\\xae'"), std::string::npos) << text;
}

TEST(Diagnostic, LongLinesAreCutAroundTheColumn) {
    const std::string padding(1 << 20, ' ');
    const auto result = testing::load(testing::valid(padding + "backlog = 0" + padding));
    ASSERT_EQ(result.diagnostics.size(), 1U);
    const auto& d = result.diagnostics[0];
    EXPECT_EQ(d.column, (1U << 20U) + 11);
    EXPECT_LT(d.source_line.size(), 200U);
    EXPECT_EQ(d.source_line.substr(d.caret_offset, d.caret_length), "0");
    EXPECT_TRUE(d.source_line.starts_with("..."));
    EXPECT_TRUE(d.source_line.ends_with("..."));
}

TEST(Diagnostic, RelatedPlacesAreNotes) {
    const auto text = testing::messages(
        "[[listener]]\nname = \"a\"\nbind = \":1\"\nupstream = \"u\"\n"
        "[[listener]]\nname = \"a\"\nbind = \":2\"\nupstream = \"u\"\n"
        "[[upstream]]\nname = \"u\"\nbackend = \"10.0.0.1:80\"\n");
    EXPECT_EQ(text,
              "penstock.toml:6:8: error: a second listener with the name 'a'\n"
              "    6 | name = \"a\"\n"
              "      |        ^^^\n"
              "penstock.toml:2:8: note: the first one\n"
              "    2 | name = \"a\"\n"
              "      |        ^^^\n");
}

TEST(Diagnostic, ManyAreCountedNotKept) {
    std::string text = testing::valid();
    for (int i = 0; i < 5000; ++i) text += "zzz" + std::to_string(i) + " = 1\n";
    const auto result = testing::load(text);
    ASSERT_EQ(result.diagnostics.size(), 1001U);
    EXPECT_EQ(result.diagnostics.back().message, "4000 more findings are not shown");
    EXPECT_FALSE(result.ok());
}

TEST(Diagnostic, QuoteShortens) {
    EXPECT_EQ(quote("a\nb"), "'a\\x0ab'");
    EXPECT_EQ(quote(std::string(200, 'x')), "'" + std::string(80, 'x') + "...'");
}

}  // namespace
}  // namespace penstock::config
