#include "net/listen_socket.hpp"

#include <filesystem>
#include <fstream>
#include <set>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "net/tcp_info.hpp"
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

TEST_F(ListenSocketTest, U1_inherited_sockets_become_a_group_and_missing_ones_are_opened) {
    auto old = open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 2);
    ASSERT_TRUE(old);
    ASSERT_TRUE(start_listening(*old, 8));
    std::vector<UniqueFd> fds;
    for (auto& socket : old->sockets) {
        ::fcntl(socket.fd(), F_SETFL, 0);
        ::fcntl(socket.fd(), F_SETFD, 0);
        fds.push_back(socket.take_fd());
    }
    auto group = adopt_listen_group(std::move(fds), {});
    ASSERT_TRUE(group) << group.error().message;
    ASSERT_EQ(group->sockets.size(), 2U);
    EXPECT_EQ(group->sockets[0].bound(), old->sockets[0].bound());
    EXPECT_NE(::fcntl(group->sockets[0].fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(group->sockets[0].fd(), F_GETFD) & FD_CLOEXEC, 0);
    ASSERT_TRUE(grow_listen_group(*group, 1));
    EXPECT_EQ(group->sockets.size(), 2U) << "none is closed: its queue would be lost";
    ASSERT_TRUE(grow_listen_group(*group, 4));
    ASSERT_EQ(group->sockets.size(), 4U);
    ASSERT_TRUE(start_listening(*group, 8));
    for (const auto& socket : group->sockets)
        EXPECT_EQ(inspect_listen_socket(socket.fd())->bound, old->sockets[0].bound());
}

TEST_F(ListenSocketTest, what_cannot_be_cloned_does_not_grow) {
    const UniqueFd alone(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::listen(alone.get(), 8), 0);  // binds it to any port
    std::vector<UniqueFd> fds;
    fds.emplace_back(::dup(alone.get()));
    auto group = adopt_listen_group(std::move(fds), {});
    ASSERT_TRUE(group) << group.error().message;
    ASSERT_TRUE(grow_listen_group(*group, 4));
    EXPECT_EQ(group->sockets.size(), 1U);
}

TEST_F(ListenSocketTest, U5_an_inherited_path_is_removed_only_by_who_owns_it) {
    auto old = open_listen_group(path("s"), 1);
    ASSERT_TRUE(old);
    ASSERT_TRUE(start_listening(*old, 8));
    std::vector<UniqueFd> fds;
    fds.emplace_back(::dup(old->sockets[0].fd()));
    auto foreign = adopt_listen_group(std::move(fds), {});
    ASSERT_TRUE(foreign);
    EXPECT_EQ(foreign->sockets[0].bound(), path("s"));
    remove_unix_path(*foreign);
    EXPECT_TRUE(fs::exists(directory / "s")) << "of systemd, which keeps it";
    fds.clear();
    fds.push_back(old->sockets[0].take_fd());
    auto ours = adopt_listen_group(std::move(fds), {old->unix_device, old->unix_inode});
    ASSERT_TRUE(ours);
    remove_unix_path(*ours);
    EXPECT_FALSE(fs::exists(directory / "s")) << "as the process did that is gone";
}

TEST_F(ListenSocketTest, only_listening_stream_sockets_can_be_inherited) {
    const auto refusal = [](int fd) {
        const auto socket = inspect_listen_socket(fd);
        return socket ? "none" : socket.error();
    };
    const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const UniqueFd datagram(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const UniqueFd packets(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const UniqueFd silent(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
    EXPECT_EQ(refusal(-1), "is not open");
    EXPECT_EQ(refusal(file.get()), "is no socket");
    EXPECT_EQ(refusal(datagram.get()), "is no stream socket (TCP or unix)");
    EXPECT_EQ(refusal(packets.get()), "is no stream socket (TCP or unix)");
    EXPECT_EQ(refusal(silent.get()), "does not listen");
    EXPECT_EQ(refusal(netlink.get()), "is neither a TCP nor a unix socket");
    std::vector<UniqueFd> fds;
    fds.emplace_back(::dup(silent.get()));
    const auto group = adopt_listen_group(std::move(fds), {});
    ASSERT_FALSE(group);
    EXPECT_NE(group.error().message.find("does not listen"), std::string::npos);
}

TEST_F(ListenSocketTest, R3_every_accept_error_has_its_answer) {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM})
        EXPECT_EQ(classify_accept_error(error), AcceptFailure::exhausted);
    for (const int error : {ECONNABORTED, EPROTO, EPERM, EINTR, ENETDOWN, EHOSTUNREACH})
        EXPECT_EQ(classify_accept_error(error), AcceptFailure::skip);
    EXPECT_EQ(classify_accept_error(EAGAIN), AcceptFailure::again);
    EXPECT_EQ(classify_accept_error(EBADF), AcceptFailure::fatal);
}

TEST_F(ListenSocketTest, another_backlog_counts_at_once_and_who_waits_stays) {
    auto group = open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(start_listening(*group, 2));
    const int listener = group->sockets[0].fd();
    sockaddr_storage raw;
    const auto length = group->sockets[0].bound().to_sockaddr(raw);
    std::vector<UniqueFd> clients;
    const auto come = [&] {
        clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return ::connect(clients.back().get(), reinterpret_cast<sockaddr*>(&raw), length) == 0;
    };
    ASSERT_TRUE(come() && come());
    ASSERT_EQ(accept_queue(listener)->limit, 2U);
    set_backlog(listener, 7);
    EXPECT_EQ(accept_queue(listener)->limit, 7U);
    EXPECT_EQ(accept_queue(listener)->length, 2U);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(come());
    set_backlog(listener, 1);
    EXPECT_EQ(accept_queue(listener)->limit, 1U);
    EXPECT_EQ(accept_queue(listener)->length, 6U);
    for (int i = 0; i < 6; ++i)
        EXPECT_GE(
            UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)).get(), 0);
}

}  // namespace
}  // namespace penstock::net
