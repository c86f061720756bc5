#include "app/runtime_directory.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.hpp"

namespace penstock::app {
namespace {

using Paths = std::vector<std::string>;

config::Environment environment_of(std::map<std::string, std::string, std::less<>> variables) {
    return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
    };
}

/// Directories that can be made, and what was asked for.
struct Machine {
    std::set<std::string> usable;
    Paths asked;

    MakeDirectory make() {
        return [this](const std::string& path) -> std::expected<void, std::string> {
            asked.push_back(path);
            if (usable.contains(path)) return {};
            return std::unexpected("Permission denied");
        };
    }
};

TEST(RuntimeDirectory, candidates_in_their_order) {
    EXPECT_EQ(runtime_candidates(environment_of({})), Paths{"/run/penstock"});
    EXPECT_EQ(runtime_candidates(environment_of({{"XDG_RUNTIME_DIR", "/run/user/1000"}})),
              (Paths{"/run/penstock", "/run/user/1000/penstock"}));
    EXPECT_EQ(runtime_candidates(environment_of(
                  {{"XDG_RUNTIME_DIR", "/run/user/1000"}, {"RUNTIME_DIRECTORY", "/run/mine"}})),
              (Paths{"/run/mine", "/run/penstock", "/run/user/1000/penstock"}));
    EXPECT_EQ(runtime_candidates(environment_of({{"RUNTIME_DIRECTORY", "/run/a:/run/b"}})),
              (Paths{"/run/a", "/run/penstock"}))
        << "systemd joins several by colons";
    EXPECT_EQ(runtime_candidates(
                  environment_of({{"RUNTIME_DIRECTORY", ""}, {"XDG_RUNTIME_DIR", "relative"}})),
              Paths{"/run/penstock"});
}

TEST(RuntimeDirectory, the_first_that_can_be_made) {
    const auto user = environment_of({{"XDG_RUNTIME_DIR", "/run/user/1000"}});
    Machine root{.usable = {"/run/penstock", "/run/user/1000/penstock"}, .asked = {}};
    EXPECT_EQ(choose_runtime_directory(user, root.make()), "/run/penstock");
    EXPECT_EQ(root.asked, Paths{"/run/penstock"}) << "nothing is made that is not used";
    Machine somebody{.usable = {"/run/user/1000/penstock"}, .asked = {}};
    EXPECT_EQ(choose_runtime_directory(user, somebody.make()), "/run/user/1000/penstock");
}

TEST(RuntimeDirectory, where_none_can_be_made_the_message_names_all) {
    Machine nobody;
    const auto user = environment_of({{"XDG_RUNTIME_DIR", "/run/user/1000"}});
    const auto chosen = choose_runtime_directory(user, nobody.make());
    ASSERT_FALSE(chosen);
    EXPECT_EQ(
        chosen.error(),
        "there is no directory for sockets (/run/penstock: Permission denied; "
        "/run/user/1000/penstock: Permission denied); set RUNTIME_DIRECTORY to a directory of "
        "this process, as systemd's RuntimeDirectory=penstock does");
}

TEST(RuntimeDirectory, a_service_directory_is_a_decision) {
    const auto service =
        environment_of({{"RUNTIME_DIRECTORY", "/run/mine"}, {"XDG_RUNTIME_DIR", "/run/user/1000"}});
    Machine usable{.usable = {"/run/mine", "/run/penstock"}, .asked = {}};
    EXPECT_EQ(choose_runtime_directory(service, usable.make()), "/run/mine");
    Machine not_usable{.usable = {"/run/penstock", "/run/user/1000/penstock"}, .asked = {}};
    const auto chosen = choose_runtime_directory(service, not_usable.make());
    ASSERT_FALSE(chosen) << "a socket elsewhere would not be looked for there";
    EXPECT_EQ(chosen.error(),
              "there is no directory for sockets (/run/mine: Permission denied); RUNTIME_DIRECTORY "
              "of the environment has to name a directory that can be written to");
}

TEST(RuntimeDirectory, is_made_once_and_used_again) {
    const test::TempDir directory;
    const auto path = directory.path("penstock");
    EXPECT_TRUE(make_runtime_directory(path));
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISDIR(status.st_mode));
    EXPECT_EQ(status.st_mode & 0022U, 0U) << "others could replace the socket";
    EXPECT_TRUE(make_runtime_directory(path));
}

TEST(RuntimeDirectory, what_cannot_be_made) {
    const test::TempDir directory;
    const auto file = directory.write("file", "");
    const auto taken = make_runtime_directory(file);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error(), "is no directory");
    const auto below = make_runtime_directory(directory.path("none/penstock"));
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error(), "No such file or directory");
    EXPECT_FALSE(std::filesystem::exists(directory.path("none")));
}

TEST(RuntimeDirectory, takes_the_place_of_the_variable) {
    const auto below = *Endpoint::parse("unix:$RUNTIME/admin.sock");
    EXPECT_TRUE(is_below_runtime(below));
    EXPECT_EQ(in_runtime_directory(below, "/run/penstock"),
              *Endpoint::parse("unix:/run/penstock/admin.sock"));
    for (const auto* other : {"unix:/run/a.sock", "unix:@$RUNTIME/a", "127.0.0.1:9901"}) {
        const auto endpoint = *Endpoint::parse(other);
        EXPECT_FALSE(is_below_runtime(endpoint)) << other;
        EXPECT_EQ(in_runtime_directory(endpoint, "/run/penstock"), endpoint) << other;
    }
    const auto too_long = in_runtime_directory(below, "/" + std::string(120, 'a'));
    ASSERT_FALSE(too_long);
    EXPECT_NE(too_long.error().find("longer than"), std::string::npos) << too_long.error();
}

}  // namespace
}  // namespace penstock::app
