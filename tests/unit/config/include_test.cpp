#include <filesystem>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using testing::no_environment;
using testing::TemporaryDirectory;
using testing::valid;

std::string listener(std::string_view name, std::string_view bind) {
    return "[[listener]]\nname = \"" + std::string(name) + "\"\nbind = \"" + std::string(bind) +
           "\"\nupstream = \"app\"\n";
}

constexpr std::string_view pattern = "include = [\"conf.d/*.toml\"]\n";

TEST(ConfigInclude, ListsAppendInTheOrderOfNames) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, pattern));
    const auto b = directory.write("conf.d/b.toml", listener("b", ":2"));
    const auto a = directory.write("conf.d/a.toml", listener("a", ":1") +
                                                        "[log]\ntarget = \"x.log\"\n"
                                                        "[defaults.listener]\nbacklog = 5\n");
    directory.write("conf.d/not-included.conf", "!");
    const auto result = load_file(main, no_environment());
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    ASSERT_EQ(result.config.listeners.size(), 3U);
    EXPECT_EQ(result.config.listeners[1].name, "a");
    EXPECT_EQ(result.config.listeners[2].name, "b");
    EXPECT_EQ(result.config.log.target, directory.path("conf.d/x.log")) << "starts at its own file";
    EXPECT_EQ(result.config.listeners[0].backlog, 5U) << "defaults are for all files";
    EXPECT_EQ(result.files, (std::vector<std::string>{main, a, b}));
    EXPECT_EQ(result.include_patterns, (std::vector{directory.path("conf.d/*.toml")}));
}

// Whoever may write the main file may have any file read that the process may read.
TEST(ConfigC11, IncludeIsNotConfinedToItsDirectory) {
    const TemporaryDirectory directory;
    const auto main =
        directory.write("site/p.toml", "include = [\"../shared/*.toml\", \"a.toml\"]\n" + valid());
    const auto shared = directory.write("shared/b.toml", listener("b", ":2"));
    // A link leads to the same text, but relative paths start where it is named.
    std::filesystem::create_symlink(directory.write("shared/a", "[log]\ntarget = \"x.log\"\n"),
                                    directory.path("site/a.toml"));
    const auto result = load_file(main, no_environment());
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.files,
              (std::vector<std::string>{main, shared, directory.path("site/a.toml")}));
    EXPECT_EQ(result.config.log.target, directory.path("site/x.log"));
    EXPECT_EQ(result.include_patterns,
              (std::vector{directory.path("shared/*.toml"), directory.path("site/a.toml")}));
}

TEST(ConfigInclude, PatternIsToldThoughNothingMatches) {
    const auto result = testing::load("include = [\"conf.d/*.toml\", \"\"]\n" + valid());
    EXPECT_EQ(result.include_patterns, (std::vector<std::string>{"/etc/penstock/conf.d/*.toml"}));
}

TEST(ConfigInclude, ErrorsNameTheFile) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, pattern));
    directory.write("conf.d/a.toml", "\nzzz = 1\n");
    EXPECT_EQ(format(load_file(main, no_environment()).diagnostics),
              directory.path("conf.d/a.toml") +
                  ":2:1: error: unknown key 'zzz' at the top of the file\n"
                  "    2 | zzz = 1\n"
                  "      | ^^^\n");
}

TEST(ConfigInclude, NameGivenTwiceShowsBothPlaces) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, pattern));
    const auto other = directory.write("conf.d/a.toml", listener("web", ":1"));
    const auto text = format(load_file(main, no_environment()).diagnostics);
    EXPECT_TRUE(text.starts_with(other + ":2:8: error: a second listener with the name 'web'\n"))
        << text;
    EXPECT_NE(text.find(main + ":3:8: note: the first one\n"), std::string::npos) << text;
}

TEST(ConfigInclude, TableGivenInTwoFilesShowsBothPlaces) {
    const TemporaryDirectory directory;
    for (const auto* table : {"[process]", "[log]", "[access_log]", "[defaults.listener]"}) {
        const auto main =
            directory.write("p.toml", valid({}, {}, std::string(pattern) + table + "\n"));
        const auto other = directory.write("conf.d/a.toml", std::string(table) + "\n");
        const auto text = format(load_file(main, no_environment()).diagnostics);
        EXPECT_TRUE(text.starts_with(other + ":1:1: error: " + table + " is given in two files\n"))
            << text;
        EXPECT_NE(text.find(main + ":2:1: note: first given here\n"), std::string::npos) << text;
    }
}

TEST(ConfigInclude, IncludedFileMayNotInclude) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, pattern));
    directory.write("conf.d/a.toml", "include = [\"b\"]\n");
    const auto text = format(load_file(main, no_environment()).diagnostics);
    EXPECT_NE(text.find(":1:1: error: an included file may not include"), std::string::npos)
        << text;
}

TEST(ConfigInclude, NameThatDoesNotExist) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, "include = \"b.toml\"\n"));
    const auto text = format(load_file(main, no_environment()).diagnostics);
    EXPECT_EQ(text, main + ":1:11: error: 'include': there is no file '" +
                        directory.path("b.toml") +
                        "'\n    1 | include = \"b.toml\"\n      |           ^^^^^^^^\n");
}

TEST(ConfigInclude, PatternWithoutMatch) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", valid({}, {}, pattern));
    const auto result = load_file(main, no_environment());
    EXPECT_TRUE(result.ok());
    ASSERT_EQ(result.diagnostics.size(), 1U);
    EXPECT_NE(result.diagnostics[0].message.find("there is no directory"), std::string::npos);
    std::filesystem::create_directory(directory.path("conf.d"));
    EXPECT_TRUE(load_file(main, no_environment()).diagnostics.empty());
}

TEST(ConfigInclude, OnlySyntaxErrorsWhereThereAreSome) {
    const TemporaryDirectory directory;
    const auto main = directory.write("p.toml", "zzz = 1\n" + std::string(pattern));
    directory.write("conf.d/a.toml", "a\n");
    directory.write("conf.d/b.toml", "b\n");
    const auto result = load_file(main, no_environment());
    ASSERT_EQ(result.diagnostics.size(), 2U) << format(result.diagnostics);
    for (const auto& d : result.diagnostics)
        EXPECT_TRUE(d.message.starts_with("not valid TOML")) << d.message;
}

TEST(ConfigInclude, UnusableFiles) {
    const TemporaryDirectory directory;
    const auto main =
        directory.write("p.toml", valid({}, {}, "include = [\"*.toml\", \"*.toml\"]\n"));
    EXPECT_TRUE(load_file(main, no_environment()).diagnostics.empty()) << "not itself";
    std::filesystem::create_directory(directory.path("d.toml"));
    EXPECT_NE(format(load_file(main, no_environment()).diagnostics).find("is a directory"),
              std::string::npos);
    std::filesystem::remove(directory.path("d.toml"));
    const auto open = directory.write("e.toml", "");
    std::filesystem::permissions(open, std::filesystem::perms(0666));
    EXPECT_NE(format(load_file(main, no_environment()).diagnostics).find("can be written by every"),
              std::string::npos);
}

}  // namespace
}  // namespace penstock::config
