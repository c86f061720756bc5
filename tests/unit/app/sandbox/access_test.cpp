// What a process that has given up capabilities is told of another configuration.
#include "app/sandbox/access.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

namespace penstock::app::sandbox {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto chown_only = capabilities::bit(capabilities::chown);
constexpr auto all = ~capabilities::Set{0};

struct Files {
    std::map<std::string, int> refused{};  // modes of access(2)

    [[nodiscard]] Can can() const {
        return [this](const std::string& path, int mode) {
            const auto found = refused.find(path);
            return found == refused.end() || (found->second & mode) == 0;
        };
    }
};

Disk plain_disk() {
    return {.resolve = [](const std::string& path) { return path; },
            .is_special = [](const std::string& path) { return path.starts_with("/dev/"); },
            .expand = [](const std::string&) { return std::vector<std::string>{}; },
            .links_on = [](const std::string&) { return std::vector<std::string>{}; },
            .runtime_directory = std::nullopt};
}

std::vector<std::string> told(const std::vector<Need>& needs, const Files& files,
                              capabilities::Set dropped, const std::vector<Need>& before = {}) {
    return beyond_capabilities(needs, before, plain_disk(), dropped, files.can());
}

TEST(SandboxAccess, a_file_that_only_a_capability_could_read_is_beyond) {
    const std::vector<Need> needs{{"listener.tls.certificates", "/tls/a.key", read}};
    const Files files{{{"/tls/a.key", R_OK}}};
    EXPECT_THAT(told(needs, files, all),
                ElementsAre(AllOf(HasSubstr("listener.tls.certificates /tls/a.key: the sandbox"),
                                  HasSubstr("does not let it read"),
                                  HasSubstr("restart it (an upgrade will do)"))));
    EXPECT_THAT(told(needs, {}, all), IsEmpty());
    // It never could: others say why.
    EXPECT_THAT(told(needs, files, 0), IsEmpty());
    EXPECT_THAT(told(needs, files, chown_only), IsEmpty());
}

TEST(SandboxAccess, a_log_needs_its_directory_too_unless_it_was_there_before) {
    const std::vector<Need> needs{{"log.target", "/log/a.log", write_files}};
    const Files directory{{{"/log", W_OK}}};
    EXPECT_THAT(told(needs, directory, all),
                ElementsAre(HasSubstr("log.target /log/a.log: the sandbox")));
    EXPECT_THAT(told(needs, {{{"/log/a.log", W_OK}}}, all), testing::SizeIs(1));
    EXPECT_THAT(told(needs, directory, all, needs), IsEmpty());
    EXPECT_THAT(told({{"log.target", "/dev/stderr", write_files}}, {{{"/dev", W_OK}}}, all),
                IsEmpty());
    EXPECT_THAT(told({{"listener.bind", "/log/in.sock", make_sockets}}, directory, all),
                ElementsAre(HasSubstr("make a socket")));
}

TEST(SandboxAccess, a_group_needs_a_capability_unless_the_process_is_in_it) {
    config::Config config;
    config.admin.listeners.push_back({});
    const auto nobody = [](const std::string&) { return false; };
    EXPECT_THAT(beyond_groups(config, all, nobody), IsEmpty());
    config.admin.listeners.front().socket_group = "ops";
    EXPECT_THAT(beyond_groups(config, all, nobody),
                ElementsAre(AllOf(HasSubstr("admin.listener.socket_group ops: the sandbox"),
                                  HasSubstr("restart it (an upgrade will do)"))));
    EXPECT_THAT(beyond_groups(config, all & ~chown_only, nobody), IsEmpty());
    EXPECT_THAT(beyond_groups(config, all, [](const std::string&) { return true; }), IsEmpty());
}

}  // namespace
}  // namespace penstock::app::sandbox
