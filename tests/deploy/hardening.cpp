#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/child_process.hpp"
#include "tests/support/proxy_process.hpp"

namespace penstock::test {
namespace {

/// What readelf (binutils) says of the program; a wide line per entry.
std::string elf(const std::string& what) {
    return run_program({"readelf", "--wide", what, penstock_binary()});
}

bool has(const std::string& text, const std::string& word) {
    return text.find(word) != std::string::npos;
}

/// The line of `text` that has `word`.
std::string line_with(const std::string& text, const std::string& word) {
    const auto at = text.find(word);
    if (at == std::string::npos) return {};
    const auto from = text.rfind('\n', at) + 1;
    return text.substr(from, text.find('\n', at) - from);
}

TEST(Hardening, F2_the_program_may_be_loaded_anywhere) {
    EXPECT_TRUE(has(elf("--file-header"), "DYN (Position-Independent Executable file)"));
    EXPECT_TRUE(has(line_with(elf("--dynamic"), "FLAGS_1"), "PIE"));
}

TEST(Hardening, F2_tables_of_addresses_are_read_only_from_the_start) {
    EXPECT_TRUE(has(elf("--program-headers"), "GNU_RELRO"));
    EXPECT_TRUE(has(line_with(elf("--dynamic"), "FLAGS_1"), "NOW"));
}

TEST(Hardening, F2_no_memory_is_written_and_executed) {
    const auto headers = elf("--program-headers");
    const auto stack = line_with(headers, "GNU_STACK");
    EXPECT_TRUE(has(stack, " RW ")) << stack;
    EXPECT_FALSE(has(headers, "RWE"));
    EXPECT_FALSE(has(elf("--dynamic"), "TEXTREL"));
}

TEST(Hardening, F2_stacks_are_guarded) { EXPECT_TRUE(has(elf("--dyn-syms"), "__stack_chk_fail")); }

// Debian's start-up code has no such note, so the program as a whole cannot have it: our code does.
TEST(Hardening, F2_jumps_are_guarded) {
    const auto notes =
        run_program({"readelf", "--wide", "--notes", PENSTOCK_BUILD "/base/libpenstock_base.a"});
    EXPECT_TRUE(has(notes, "x86 feature: IBT, SHSTK"));
}

TEST(Hardening, F2_copies_are_checked_in_optimized_builds) {
    const bool optimized = has(run_penstock({"version"}).output, "(release)");
    EXPECT_EQ(has(elf("--dyn-syms"), "_chk@GLIBC"), optimized);
}

TEST(Hardening, F2_libraries_come_from_the_system_alone) {
    const auto dynamic = elf("--dynamic");
    EXPECT_FALSE(has(dynamic, "(RPATH)") || has(dynamic, "(RUNPATH)")) << dynamic;
}

// What leaves no mark in the program that could be relied upon.
TEST(Hardening, F1_every_source_is_compiled_with_every_flag) {
    std::ifstream commands(PENSTOCK_BUILD "/compile_commands.json");
    const bool optimized = has(run_penstock({"version"}).output, "(release)");
    std::size_t sources = 0;
    for (std::string line; std::getline(commands, line);) {
        if (!has(line, "\"command\": ") || has(line, " " PENSTOCK_SOURCE "/tests/")) continue;
        ++sources;
        for (const char* flag :
             {"-fstack-protector-strong", "-fstack-clash-protection", "-fcf-protection=full",
              "-ftrivial-auto-var-init=zero", "-D_GLIBCXX_ASSERTIONS"})
            EXPECT_TRUE(has(line, flag)) << flag << " is not in " << line;
        EXPECT_EQ(has(line, "-D_FORTIFY_SOURCE=3"), optimized) << line;
    }
    EXPECT_GT(sources, 200U);
}

}  // namespace
}  // namespace penstock::test
