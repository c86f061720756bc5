#include "net/listen_socket.hpp"

#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

namespace fs = std::filesystem;

class ListenSocketTest : public testing::Test {
protected:
    [[nodiscard]] Endpoint path(const std::string& name) const {
        return *Endpoint::parse("unix:" + (directory / name).string());
    }
    test::TempDir own;
    const fs::path& directory = own.path();
};

TEST_F(ListenSocketTest, a_group_shares_one_port) {
    const auto group = open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 3);
    ASSERT_TRUE(group);
    ASSERT_EQ(group->sockets.size(), 3U);
    std::set<std::string> bound;
    for (const auto& socket : group->sockets) bound.insert(socket.bound().to_string());
    EXPECT_EQ(bound.size(), 1U);
    EXPECT_NE(group->sockets[0].bound().port(), 0);
}

TEST_F(ListenSocketTest, a_second_process_on_the_same_port_fails_instead_of_sharing) {
    auto first = open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 2);
    ASSERT_TRUE(first);
    ASSERT_TRUE(start_listening(*first, 8));
    const auto second = open_listen_group(first->sockets[0].bound(), 2);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
    EXPECT_NE(second.error().message.find("another process"), std::string::npos);
}

TEST_F(ListenSocketTest, X1_a_stale_socket_is_replaced) {
    {
        auto dead = open_listen_group(path("s"), 1);
        ASSERT_TRUE(dead);
    }
    EXPECT_TRUE(fs::exists(directory / "s"));
    EXPECT_TRUE(open_listen_group(path("s"), 1));
}

TEST_F(ListenSocketTest, X1_a_live_socket_is_an_error) {
    auto live = open_listen_group(path("s"), 1);
    ASSERT_TRUE(live);
    ASSERT_TRUE(start_listening(*live, 8));
    const auto second = open_listen_group(path("s"), 1);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, std::errc::address_in_use);
}

TEST_F(ListenSocketTest, X1_other_files_are_never_removed) {
    std::ofstream(directory / "file") << "precious";
    fs::create_directory(directory / "dir");
    fs::create_symlink(directory / "file", directory / "link");
    for (const char* name : {"file", "dir", "link"}) {
        const auto group = open_listen_group(path(name), 1);
        EXPECT_FALSE(group) << name;
        EXPECT_TRUE(fs::exists(directory / name)) << name;
    }
}

TEST_F(ListenSocketTest, X3_removes_its_own_path_but_not_a_successors) {
    auto first = open_listen_group(path("s"), 1);
    ASSERT_TRUE(first);
    fs::remove(directory / "s");
    auto second = open_listen_group(path("s"), 1);
    ASSERT_TRUE(second);
    remove_unix_path(*first);
    EXPECT_TRUE(fs::exists(directory / "s"));
    remove_unix_path(*second);
    EXPECT_FALSE(fs::exists(directory / "s"));
}

TEST_F(ListenSocketTest, R3_every_accept_error_has_its_answer) {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM})
        EXPECT_EQ(classify_accept_error(error), AcceptFailure::exhausted);
    for (const int error : {ECONNABORTED, EPROTO, EPERM, EINTR, ENETDOWN, EHOSTUNREACH})
        EXPECT_EQ(classify_accept_error(error), AcceptFailure::skip);
    EXPECT_EQ(classify_accept_error(EAGAIN), AcceptFailure::again);
    EXPECT_EQ(classify_accept_error(EBADF), AcceptFailure::fatal);
}

}  // namespace
}  // namespace penstock::net
