// What the scenarios borrow from the system, tried alone: a scenario that fails should fail because
// of the proxy.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/process_stats.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

TEST(Environment, a_private_namespace_drops_what_a_rule_names) {
    ScopedNetns netns;
    EchoServer server;
    const Address to = Address::parse(server.text());
    ASSERT_TRUE(Socket::connect(to));
    const std::string rule = netns.add_rule("tcp dport " + std::to_string(to.port()));
    EXPECT_EQ(Socket::connect(to, {}, 100ms).error(), ETIMEDOUT);
    netns.remove_rule(rule);
    EXPECT_TRUE(Socket::connect(to));
    netns.add_rule("tcp dport " + std::to_string(to.port()), "reject with tcp reset");
    EXPECT_EQ(Socket::connect(to).error(), ECONNREFUSED);
}

TEST(Environment, a_private_tmpfs_is_small_and_gone_afterwards) {
    TempDir directory;
    {
        ScopedMounts mounts;
        mounts.mount_tmpfs(directory.path().string(), 65536);
        std::ofstream file(directory.path() / "big");
        file << std::string(200'000, 'x') << std::flush;
        EXPECT_FALSE(file);
    }
    EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Environment, a_full_backlog_answers_nobody) {
    FullBacklog tcp;
    EXPECT_EQ(Socket::connect(Address::parse(tcp.text()), {}, 200ms).error(), ETIMEDOUT);
    TempDir directory;
    FullBacklog local("unix:" + (directory.path() / "s").string());
    EXPECT_EQ(Socket::connect(Address::parse(local.text())).error(), EAGAIN);
    EXPECT_GE(local.drain().size(), 1U);
    EXPECT_TRUE(Socket::connect(Address::parse(local.text())));
}

TEST(Environment, strace_makes_calls_fail_and_counts_them) {
    ChildProcess child({"sh", "-c", "while :; do sleep 0.05; done"});
    Strace trace(child.pid(), {"trace=%process", "inject=wait4:error=EINTR:when=1"});
    EXPECT_TRUE(wait_for([&] { return trace.calls("wait4") >= 3; }));
    EXPECT_GE(trace.calls("INJECTED"), 1U);
}

TEST(Environment, a_flapping_server_refuses_while_it_is_down) {
    ChaosBackend server(scripts::echo());
    ASSERT_TRUE(Socket::connect(server.address()));
    server.stop_listening();
    EXPECT_EQ(Socket::connect(server.address()).error(), ECONNREFUSED);
    server.start_listening();
    EXPECT_TRUE(Socket::connect(server.address()));
    ClosedPort closed;
    EXPECT_EQ(Socket::connect(closed.address).error(), ECONNREFUSED);
}

TEST(Environment, process_statistics_are_those_of_the_process) {
    ChildProcess busy({"sh", "-c", "while :; do :; done"});
    const auto before = cpu_of(busy.pid());
    EXPECT_TRUE(wait_for([&] { return cpu_of(busy.pid()) - before > 50ms; }));
    EXPECT_EQ(threads_of(busy.pid()), 1U);
    EXPECT_GE(descriptors_of(busy.pid()), 3U);
    EXPECT_GT(private_memory_of(busy.pid()), 10'000U);
    busy.signal(SIGTERM);
    const auto status = busy.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_TRUE(WIFSIGNALED(*status));
}

TEST(Environment, a_child_can_start_without_standard_descriptors) {
    TempDir directory;
    const auto file = directory.path() / "fds";
    SpawnOptions bare;
    bare.close_standard_fds = true;
    ChildProcess child({"sh", "-c", "ls -l /proc/$$/fd > " + file.string()}, bare);
    ASSERT_TRUE(child.wait_exit());
    std::ifstream listing(file);
    for (std::string line; std::getline(listing, line);)
        EXPECT_EQ(line.find(" 2 -> "), std::string::npos) << line;
}

}  // namespace
}  // namespace penstock::test
