#include "app/upgrade/program.hpp"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::app::upgrade {
namespace {

Surroundings around(std::set<std::string> programs, std::optional<std::string> path) {
    return {.path = std::move(path),
            .directory = "/home/me",
            .self = "/proc/self/target",
            .is_program = [programs = std::move(programs)](const std::string& file) {
                return programs.contains(file);
            }};
}

TEST(ResolveProgram, finds_what_a_shell_would_have_started) {
    const struct {
        const char* name;
        std::set<std::string> programs;
        std::optional<std::string> path;
        const char* expected;
    } cases[] = {
        {"/opt/penstock", {"/opt/penstock"}, "/usr/bin", "/opt/penstock"},
        {"./penstock", {"/home/me/./penstock"}, "/usr/bin", "/home/me/./penstock"},
        {"build/penstock", {"/home/me/build/penstock"}, {}, "/home/me/build/penstock"},
        {"penstock", {"/usr/bin/penstock", "/opt/penstock"}, "/opt:/usr/bin", "/opt/penstock"},
        {"penstock", {"/usr/bin/penstock"}, "/opt:/usr/bin", "/usr/bin/penstock"},
        {"penstock", {"/home/me/penstock"}, "/opt::/usr/bin", "/home/me/penstock"},
        {"penstock", {"/home/me/bin/penstock"}, "bin", "/home/me/bin/penstock"},
        {"penstock", {"/usr/bin/penstock"}, {}, "/usr/bin/penstock"},
        // argv[0] may be anything.
        {"penstock", {}, "/opt:/usr/bin", "/proc/self/target"},
        {"-penstock", {"/home/me/penstock"}, "", "/proc/self/target"},
        {"/gone/penstock", {}, "/usr/bin", "/proc/self/target"},
        {"", {"/usr/bin/"}, "/usr/bin", "/proc/self/target"},
    };
    for (const auto& one : cases)
        EXPECT_EQ(resolve_program(one.name, around(one.programs, one.path)), one.expected)
            << one.name << " in " << one.path.value_or("(none)");
}

TEST(OwnProgram, is_the_one_that_runs) {
    const char* const arguments[] = {"no such program", "run", "-c", "x.toml"};
    const auto program = own_program(4, arguments);
    EXPECT_EQ(program.file, std::filesystem::read_symlink("/proc/self/exe").string());
    EXPECT_EQ(program.arguments,
              (std::vector<std::string>{"no such program", "run", "-c", "x.toml"}));
    EXPECT_FALSE(program.environment.empty());
}

// Turning the link is how many deploy: the link is what has to be remembered.
TEST(OwnProgram, keeps_symbolic_links) {
    const test::TempDir directory;
    const auto link = directory.path("current");
    std::filesystem::create_symlink("/proc/self/exe", link);
    const char* const arguments[] = {link.c_str()};
    EXPECT_EQ(own_program(1, arguments).file, link);
}

TEST(SuccessorEnvironment, is_the_original_one_and_the_channel) {
    const std::vector<std::string> original{
        "PATH=/bin",          "LISTEN_PID=12",         "LISTEN_FDS=2",
        "LISTEN_FDNAMES=web", "PENSTOCK_UPGRADE_FD=9", "PENSTOCK_UPGRADE_FD_OF_MINE=x",
        "NOTIFY_SOCKET=/n",   "WATCHDOG_PID=12",       "odd"};
    EXPECT_EQ(
        successor_environment(original, 3),
        (std::vector<std::string>{"PATH=/bin", "PENSTOCK_UPGRADE_FD_OF_MINE=x", "NOTIFY_SOCKET=/n",
                                  "WATCHDOG_PID=12", "odd", "PENSTOCK_UPGRADE_FD=3"}));
}

TEST(CheckUpgradable, refuses_in_a_container_and_without_a_program) {
    const Program good{.file = "/proc/self/exe"};
    EXPECT_TRUE(check_upgradable(good, 2));
    const auto container = check_upgradable(good, 1);
    ASSERT_FALSE(container);
    EXPECT_NE(container.error().find("container"), std::string::npos);
    const auto gone = check_upgradable({.file = "/gone/penstock"}, 2);
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().rfind("/gone/penstock: No such file", 0), 0U) << gone.error();
}

}  // namespace
}  // namespace penstock::app::upgrade
