#include "app/token_file.hpp"

#include <filesystem>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::app {
namespace {

constexpr std::string_view token = "c2VjcmV0LXNlY3JldC1zZQ";  // 22 characters
static_assert(token.size() == shortest_token);

config::Config config_with(std::initializer_list<std::string> paths) {
    config::Config config;
    for (const auto& path : paths) {
        config::AdminListener listener;
        listener.token_file = path;
        config.admin.listeners.push_back(std::move(listener));
    }
    return config;
}

TEST(TokenFile, the_end_of_the_line_is_no_part_of_the_token) {
    const std::string text(token);
    for (const auto* end : {"", "\n", "\r\n"}) EXPECT_EQ(parse_token(text + end), text);
    const std::string longest(longest_token, '~');
    EXPECT_EQ(parse_token(longest + "\n"), longest);
}

TEST(TokenFile, what_is_refused) {
    const std::string text(token);
    struct Row {
        std::string text;
        std::string_view problem;
    };
    const Row rows[] = {
        {"", "has no token in it"},
        {"\n", "has no token in it"},
        {"\r\n", "has no token in it"},
        {text + "\n" + text, "has more than one line"},
        {text + "\n\n", "has more than one line"},
        {"\n" + text, "has more than one line"},
        {text + "\r" + text, "has more than one line"},
        {text + " \n", "has a blank in the token"},
        {"Bearer " + text, "has a blank in the token"},
        {text + "\t", "has a blank in the token"},
        {text + "\xC3\xA4", "not printable ASCII"},
        {"\xEF\xBB\xBF" + text, "not printable ASCII"},
        {text + "\x7F", "not printable ASCII"},
        {text + std::string(1, '\0'), "not printable ASCII"},
        {text.substr(1), "has a token of 21 characters, which can be guessed; it needs 22"},
        {std::string(longest_token + 1, 'a'), "has a token of more than 1024 characters"},
    };
    for (const auto& [given, problem] : rows) {
        const auto parsed = parse_token(given);
        ASSERT_FALSE(parsed) << given;
        EXPECT_NE(parsed.error().find(problem), std::string::npos) << parsed.error();
        EXPECT_NE(parsed.error().find("openssl rand -hex 32"), std::string::npos) << parsed.error();
        EXPECT_EQ(parsed.error().find(text.substr(1)), std::string::npos)
            << "a secret in a message: " << parsed.error();
    }
}

TEST(TokenFile, is_read_from_its_file) {
    const test::TempDir directory;
    const auto path = directory.write("admin.token", std::string(token) + "\n");
    EXPECT_EQ(read_token(path), std::string(token));
    const auto missing = read_token(directory.path("none"));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error(), "token file " + directory.path("none") + ": there is no such file");
}

TEST(TokenFile, bad_files_are_errors_of_the_configuration) {
    const test::TempDir directory;
    const auto good = directory.write("good", token);
    std::filesystem::permissions(good, std::filesystem::perms(0600));
    const auto weak = directory.write("weak", "secret\n");
    EXPECT_TRUE(check_token_files(config_with({})).empty());
    EXPECT_TRUE(check_token_files(config_with({"", good})).empty());

    const auto found = check_token_files(config_with({weak, good, weak, directory.path("none")}));
    ASSERT_EQ(found.size(), 2U) << config::format(found);
    EXPECT_EQ(config::format(found[0]),
              weak +
                  ": error: 'token_file' in [[admin.listener]]: has a token of 6 characters, "
                  "which can be guessed; it needs 22; make one with: openssl rand -hex 32 (the "
                  "file has that line alone)\n");
    EXPECT_EQ(config::format(found[1]),
              directory.path("none") +
                  ": error: 'token_file' in [[admin.listener]]: there is no such file\n");
}

TEST(TokenFile, others_that_may_read_it_are_worth_a_warning) {
    const test::TempDir directory;
    const auto path = directory.write("admin.token", token);
    std::filesystem::permissions(path, std::filesystem::perms(0644));
    const auto found = check_token_files(config_with({path}));
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(
        config::format(found[0]),
        path +
            ": warning: 'token_file' in [[admin.listener]]: others than its owner can read it; "
            "chmod 600\n");
    auto strict = config_with({path});
    strict.process.strict_permissions = true;
    ASSERT_EQ(check_token_files(strict).size(), 1U);
    EXPECT_EQ(check_token_files(strict)[0].severity, config::Severity::error);
    std::filesystem::permissions(path, std::filesystem::perms(0640));
    EXPECT_EQ(check_token_files(strict).size(), 1U) << "a group is others, too";
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    EXPECT_TRUE(check_token_files(strict).empty());
    EXPECT_TRUE(check_token_files(config_with({path})).empty());
}

}  // namespace
}  // namespace penstock::app
