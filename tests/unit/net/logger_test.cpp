#include "net/logger.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/deadline.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::net {
namespace {

class ProcessLogTest : public testing::Test {
protected:
    ProcessLogTest() { log = *ProcessLog::open({LogLevel::info, false, path("first")}); }

    [[nodiscard]] std::string path(const std::string& name) const { return directory.path(name); }
    [[nodiscard]] std::string contents(const std::string& name) const {
        std::ifstream file(path(name));
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }
    /// The writer has a thread of its own.
    [[nodiscard]] bool arrives(const std::string& name, const std::string& line) const {
        return test::wait_for([&] { return contents(name).contains(line); });
    }
    /// Everything is written when it has ended.
    void end() { log.reset(); }
    [[nodiscard]] std::function<void()> prepare(const LoggerOptions& options) const {
        auto prepared = log->prepare(options);
        EXPECT_TRUE(prepared) << (prepared ? "" : prepared.error());
        return *std::move(prepared);
    }

    test::TempDir directory;
    std::unique_ptr<ProcessLog> log;
};

TEST_F(ProcessLogTest, what_was_prepared_changes_nothing_until_it_is_called) {
    const auto change = prepare({LogLevel::debug, true, path("second")});
    EXPECT_FALSE(log->enabled(LogLevel::debug));
    log->info("before");
    EXPECT_TRUE(arrives("first", "before"));
    change();
    EXPECT_TRUE(log->enabled(LogLevel::debug));
    log->debug("after");
    end();
    EXPECT_FALSE(contents("first").contains("after"));
    EXPECT_TRUE(contents("second").contains(R"("level":"debug","message":"after"})"))
        << contents("second");
    EXPECT_FALSE(contents("second").contains("before"));
}

TEST_F(ProcessLogTest, H6_a_new_file_is_for_its_owner_and_group_alone_and_for_no_other_program) {
    const mode_t before = ::umask(0077);
    log = *ProcessLog::open({LogLevel::info, false, path("strict")});
    ::umask(before);
    EXPECT_EQ(std::filesystem::status(path("strict")).permissions(), std::filesystem::perms(0640));
    bool seen = false;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        if (std::filesystem::read_symlink(entry.path(), error) != path("strict")) continue;
        seen = true;
        EXPECT_EQ(::fcntl(std::stoi(entry.path().filename().string()), F_GETFD), FD_CLOEXEC);
    }
    EXPECT_TRUE(seen);
}

TEST_F(ProcessLogTest, H6_the_mode_of_a_file_that_is_there_stays) {
    {
        std::ofstream(path("second")) << "before\n";
    }
    std::filesystem::permissions(path("second"), std::filesystem::perms(0604));
    prepare({LogLevel::info, false, path("second")})();
    EXPECT_EQ(std::filesystem::status(path("second")).permissions(), std::filesystem::perms(0604));
}

TEST_F(ProcessLogTest, one_that_is_never_called_is_forgotten) {
    static_cast<void>(prepare({LogLevel::error, true, path("second")}));
    log->info("still here");
    end();
    EXPECT_TRUE(contents("first").contains("still here"));
    EXPECT_EQ(contents("second"), "");
}

TEST_F(ProcessLogTest, the_level_and_the_format_change_within_one_file) {
    log->info("as text");
    EXPECT_TRUE(arrives("first", "as text"));
    prepare({LogLevel::warn, true, path("first")})();
    EXPECT_FALSE(log->enabled(LogLevel::info));
    log->warn("as json");
    end();
    const std::string text = contents("first");
    EXPECT_TRUE(text.contains(" info  as text\n")) << text;
    EXPECT_TRUE(text.contains(R"("message":"as json"})")) << text;
    EXPECT_EQ(std::ranges::count(text, '\n'), 2) << "what was written stays";
}

TEST_F(ProcessLogTest, a_file_that_cannot_be_opened_is_told_and_changes_nothing) {
    const auto failed = log->prepare({LogLevel::debug, true, path("first") + "/of/it"});
    ASSERT_FALSE(failed);
    EXPECT_TRUE(failed.error().contains(path("first"))) << failed.error();
    EXPECT_FALSE(log->enabled(LogLevel::debug));
    log->info("still here");
    end();
    EXPECT_TRUE(contents("first").contains("still here"));
}

TEST_F(ProcessLogTest, a_file_that_cannot_be_opened_again_stays_in_use) {
    std::filesystem::rename(path("first"), path("rotated"));
    std::filesystem::create_directory(path("first"));  // which not even root can write to
    log->reopen();
    log->info("in the old one");
    EXPECT_TRUE(arrives("rotated", "cannot reopen the log"));
    EXPECT_TRUE(arrives("rotated", "in the old one"));
    std::filesystem::remove(path("first"));
    log->reopen();
    log->info("in the new one");
    EXPECT_TRUE(arrives("first", "in the new one"));
    EXPECT_FALSE(contents("rotated").contains("in the new one"));
    EXPECT_EQ(log->dropped(), 0U);
}

TEST_F(ProcessLogTest, a_directory_that_is_gone_is_not_made_again_for_a_rotation) {
    std::filesystem::create_directory(path("logs"));
    prepare({LogLevel::info, false, path("logs/log")})();
    std::filesystem::rename(path("logs"), path("moved"));
    log->reopen();
    EXPECT_TRUE(arrives("moved/log", "there is no directory"));
    EXPECT_FALSE(std::filesystem::exists(path("logs")));
}

TEST_F(ProcessLogTest, the_new_file_is_the_one_that_is_reopened) {
    prepare({LogLevel::info, false, path("second")})();
    log->info("one");
    EXPECT_TRUE(arrives("second", "one"));
    std::filesystem::rename(path("second"), path("rotated"));
    log->reopen();
    log->info("two");
    end();
    EXPECT_TRUE(contents("rotated").contains("one"));
    EXPECT_TRUE(contents("second").contains("two")) << contents("rotated");
    EXPECT_EQ(contents("first"), "");
}

}  // namespace
}  // namespace penstock::net
