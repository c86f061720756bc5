#include "app/client/problems.hpp"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace penstock::app::client {
namespace {

std::string shown(const std::string& answer, const ReadText& read) {
    return config::format(problems_of(json::parse(answer), read));
}

std::optional<std::string> example(const std::string& file) {
    if (file != "/etc/p.toml") return std::nullopt;
    return "[process]\nworkers = 1\nconect_timeout = \"3s\"\n";
}

TEST(Problems, look_as_those_of_check) {
    EXPECT_EQ(
        shown(
            R"({"errors":[{"file":"/etc/p.toml","line":3,"column":1,"length":14,"message":"unknown key",
"related":[{"file":"/etc/p.toml","line":1,"column":2,"length":7,"message":"in this table"}]}],
"warnings":[{"file":"/etc/p.toml","line":0,"column":0,"length":0,"message":"no checks"}]})",
            example),
        "/etc/p.toml:3:1: error: unknown key\n"
        "    3 | conect_timeout = \"3s\"\n"
        "      | ^^^^^^^^^^^^^^\n"
        "/etc/p.toml:1:2: note: in this table\n"
        "    1 | [process]\n"
        "      |  ^^^^^^^\n"
        "/etc/p.toml: warning: no checks\n");
}

TEST(Problems, a_line_that_is_not_there_is_not_quoted) {
    for (const char* place : {R"("file":"/etc/other.toml","line":3,"column":1)",
                              R"("file":"/etc/p.toml","line":30,"column":1)",
                              R"("file":"/etc/p.toml","line":2,"column":100)",
                              R"("file":"/etc/p.toml","line":4294967295,"column":4294967295)"}) {
        const auto text =
            shown(R"({"errors":[{)" + std::string(place) + R"(,"message":"no"}]})", example);
        EXPECT_TRUE(text.ends_with(": error: no\n")) << text;
        EXPECT_FALSE(text.contains('|')) << text;
    }
}

TEST(Problems, each_file_is_read_once) {
    int reads = 0;
    const auto read = [&reads](const std::string&) -> std::optional<std::string> {
        ++reads;
        return std::nullopt;
    };
    const auto found = problems_of(
        json::parse(R"({"errors":[{"file":"/x","line":1},{"file":"/x","line":2}]})"), read);
    EXPECT_EQ(found.size(), 2U);
    EXPECT_EQ(reads, 1);
}

TEST(Problems, answers_of_other_versions_are_shown_as_far_as_they_go) {
    EXPECT_EQ(shown(R"({"errors":[{"message":"no"},7]})", example), "?: error: no\n?: error: ?\n");
    EXPECT_EQ(shown(R"({"errors":[{"file":"/etc/p.toml","line":-1,"column":1e99,"message":"a"}]})",
                    example),
              "/etc/p.toml: error: a\n");
    EXPECT_EQ(shown(R"({"errors":[{"file":"/etc/p.toml","line":1,"message":"a"}]})", example),
              "/etc/p.toml:1:1: error: a\n    1 | [process]\n      | ^\n");
    EXPECT_EQ(shown(R"({"errors":[{"file":"\u001b[2J","message":"\u0007"}]})", example),
              "\\x1b[2J: error: \\x07\n");
    EXPECT_EQ(shown("null", example), "");
}

}  // namespace
}  // namespace penstock::app::client
