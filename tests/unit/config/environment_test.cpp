#include <cstdlib>

#include <gtest/gtest.h>

#include "config/print.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using testing::environment_of;

TEST(ConfigC11, Interpolation) {
    const auto env = environment_of({{"A", "x"}, {"EMPTY", ""}, {"_b2", "y"}});
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"${A}", "x"},
        {"a${A}b${_b2}", "axby"},
        {"${NO:-default}", "default"},
        {"${A:-default}", "x"},
        {"${EMPTY}", ""},
        {"${EMPTY:-d}", "d"},
        {"${NO:-}", ""},
        {"$A", "$A"},
        {"$", "$"},
        {"$$", "$$"},
        {"a}b", "a}b"},
        {"${NO:-a:-b}", "a:-b"},
    };
    for (const auto& [text, expected] : rows) EXPECT_EQ(interpolate(text, env), expected) << text;
}

TEST(ConfigC11, InterpolationErrors) {
    const auto env = environment_of({{"BAD", "${A}"}, {"BYTES", "\xFF"}, {"OPEN", "{A}"}});
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"${NO}", "the environment variable NO is not set; write ${NO:-default}"},
        {"${NO", "'${' without '}'"},
        {"${}", "is no name"},
        {"${1A}", "is no name"},
        {"${A B}", "is no name"},
        {"${NO:-${A}}", "the default of ${NO} contains '${'"},
        {"${BAD}", "contains '${'"},
        {"${BYTES}", "not UTF-8"},
        {"$${OPEN}", "the result contains '${'"},
    };
    for (const auto& [text, expected] : rows) {
        const auto result = interpolate(text, env);
        ASSERT_FALSE(result) << text;
        EXPECT_NE(result.error().find(expected), std::string::npos) << result.error();
    }
}

TEST(ConfigC11, EveryStringTakesReferences) {
    const auto env = environment_of({{"NAME", "web"},
                                     {"PORT", "8080"},
                                     {"LOGS", "/var/log"},
                                     {"SECONDS", "7"},
                                     {"WORKERS", "3"},
                                     {"SKIP", "true"},
                                     {"JITTER", "0.5"}});
    const auto result = load_text(
        "[process]\nworkers = \"${WORKERS}\"\n"
        "[access_log]\ntarget = \"${LOGS}/a.log\"\nskip_empty = \"${SKIP}\"\n"
        "[[listener]]\nname = \"${NAME}\"\nbind = \":${PORT}\"\nupstream = \"${NAME}\"\n"
        "timeouts.idle = \"${SECONDS}s\"\ntimeouts.lifetime_jitter = \"${JITTER}\"\n"
        "[[upstream]]\nname = \"web\"\nbalance = \"${BALANCE:-random}\"\n"
        "backend = [\"10.0.0.1:${PORT}\", { address = \"10.0.0.2:80\", weight = \"${W:-5}\" }]\n",
        "-", "/", env);
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.process.workers, 3U);
    EXPECT_EQ(result.config.access_log.target, "/var/log/a.log");
    EXPECT_TRUE(result.config.access_log.skip_empty);
    EXPECT_EQ(result.config.listeners[0].name, "web");
    EXPECT_EQ(result.config.listeners[0].bind.at(0).address.port(), 8080);
    EXPECT_EQ(result.config.listeners[0].timeouts.idle, std::chrono::seconds(7));
    EXPECT_EQ(result.config.listeners[0].timeouts.lifetime_jitter, 0.5);
    EXPECT_EQ(result.config.upstreams[0].balance, Balance::random);
    EXPECT_EQ(result.config.upstreams[0].backends[0].name, "10.0.0.1:8080");
    EXPECT_EQ(result.config.upstreams[0].backends[1].weight, 5U);
}

TEST(ConfigC11, UnsetVariablePointsAtTheString) {
    EXPECT_EQ(
        testing::messages(testing::valid({}, {}, "log.target = \"${LOGS}/x\"\n")),
        "penstock.toml:1:14: error: 'target' in [log]: the environment variable LOGS is not set; "
        "write ${LOGS:-default} to give a default\n"
        "    1 | log.target = \"${LOGS}/x\"\n"
        "      |              ^^^^^^^^^^^\n");
}

TEST(ConfigC11, WrongNumberFromTheEnvironmentIsATypeError) {
    const auto result =
        load_text(testing::valid("backlog = \"${B}\""), "c", "/", environment_of({{"B", "many"}}));
    ASSERT_EQ(result.diagnostics.size(), 1U);
    EXPECT_NE(result.diagnostics[0].message.find("takes an integer"), std::string::npos);
}

TEST(ConfigC11, ProcessEnvironment) {
    const auto env = process_environment();
    const char* path = std::getenv("PATH");
    ASSERT_NE(path, nullptr);
    EXPECT_EQ(env("PATH"), path);
    EXPECT_EQ(env("PENSTOCK_THIS_IS_NEVER_SET"), std::nullopt);
}

}  // namespace
}  // namespace penstock::config
