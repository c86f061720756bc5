#include <gtest/gtest.h>

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

TEST(Hardening, the_program_may_be_loaded_anywhere) {
    EXPECT_TRUE(has(elf("--file-header"), "DYN (Position-Independent Executable file)"));
    EXPECT_TRUE(has(line_with(elf("--dynamic"), "FLAGS_1"), "PIE"));
}

TEST(Hardening, tables_of_addresses_are_read_only_from_the_start) {
    EXPECT_TRUE(has(elf("--program-headers"), "GNU_RELRO"));
    EXPECT_TRUE(has(line_with(elf("--dynamic"), "FLAGS_1"), "NOW"));
}

TEST(Hardening, no_memory_is_written_and_executed) {
    const auto headers = elf("--program-headers");
    const auto stack = line_with(headers, "GNU_STACK");
    EXPECT_TRUE(has(stack, " RW ")) << stack;
    EXPECT_FALSE(has(headers, "RWE"));
    EXPECT_FALSE(has(elf("--dynamic"), "TEXTREL"));
}

TEST(Hardening, stacks_are_guarded) { EXPECT_TRUE(has(elf("--dyn-syms"), "__stack_chk_fail")); }

// Debian's start-up code has no such note, so the program as a whole cannot have it: our code does.
TEST(Hardening, jumps_are_guarded) {
    const auto notes =
        run_program({"readelf", "--wide", "--notes", PENSTOCK_BUILD "/base/libpenstock_base.a"});
    EXPECT_TRUE(has(notes, "x86 feature: IBT, SHSTK"));
}

TEST(Hardening, copies_are_checked_in_optimized_builds) {
    const bool optimized = has(run_penstock({"version"}).output, "(release)");
    EXPECT_EQ(has(elf("--dyn-syms"), "_chk@GLIBC"), optimized);
}

TEST(Hardening, libraries_come_from_the_system_alone) {
    const auto dynamic = elf("--dynamic");
    EXPECT_FALSE(has(dynamic, "(RPATH)") || has(dynamic, "(RUNPATH)")) << dynamic;
}

}  // namespace
}  // namespace penstock::test
