// Who may use the admin API's socket after a change.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

ConfigText with_door(const EchoServer& echo, const std::string& more) {
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 1\nsandbox = \"off\"";  // in it, groups need a restart
    config.admin = "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n" + more;
    return config;
}

struct stat door_of(const ProxyProcess& proxy) {
    struct stat status{};
    EXPECT_EQ(::stat((proxy.directory() / "admin.sock").c_str(), &status), 0);
    return status;
}

TEST(UpgradeAdmin, the_socket_gets_the_mode_and_the_group_of_the_file) {
    const auto* group = ::getgrnam("daemon");
    ASSERT_NE(group, nullptr);
    const gid_t gid = group->gr_gid;
    EchoServer echo;
    ProxyProcess proxy(with_door(echo, ""));
    EXPECT_EQ(door_of(proxy).st_mode & 0777, 0600U);
    proxy.rewrite(with_door(echo, "socket_mode = \"0660\"\nsocket_group = \"daemon\"\n"));
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(wait_for([&] { return (door_of(proxy).st_mode & 0777) == 0660U; }));
    EXPECT_EQ(door_of(proxy).st_gid, gid);
    EXPECT_EQ(proxy.admin().get("/readyz").status, 200);
}

TEST(UpgradeAdmin, a_group_that_does_not_exist_ends_the_attempt) {
    EchoServer echo;
    ProxyProcess proxy(with_door(echo, ""));
    proxy.rewrite(with_door(echo, "socket_mode = \"0660\"\nsocket_group = \"no-such-group\"\n"));
    const Answer answer = post(proxy, "/api/v1/upgrade", "", 100s);
    EXPECT_EQ(answer.status, 409) << answer.text;
    EXPECT_NE(answer.text.find("no-such-group"), std::string::npos) << answer.text;
    EXPECT_EQ(door_of(proxy).st_mode & 0777, 0600U);
}

TEST(ReloadAdmin, C7_a_group_that_does_not_exist_undoes_the_whole_reload) {
    EchoServer echo;
    const std::string good = with_door(echo, "").toml();
    ProxyProcess proxy(with_door(echo, ""));
    ConfigText next = with_door(echo, "socket_mode = \"0660\"\nsocket_group = \"no-such-group\"\n");
    next.services[0].upstream = "attempts = 7";
    proxy.rewrite(next);
    const Answer answer = reload_now(proxy);
    EXPECT_GE(answer.status, 400) << answer.text;
    EXPECT_NE(answer.text.find("no-such-group"), std::string::npos) << answer.text;
    EXPECT_EQ(config_of(proxy).find("attempts = 7"), std::string::npos);
    EXPECT_EQ(door_of(proxy).st_mode & 0777, 0600U);
    proxy.rewrite(good);
    EXPECT_TRUE(proxy.reload());
}

}  // namespace
}  // namespace penstock::test
