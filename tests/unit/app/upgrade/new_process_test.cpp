#include "app/upgrade/new_process.hpp"

#include <cerrno>
#include <csignal>
#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/asio_words.hpp"
#include "net/listen_socket.hpp"

namespace penstock::app::upgrade {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

Program successor(std::string how) {
    return {.file = PENSTOCK_TEST_SUCCESSOR,
            .arguments = {"penstock", std::move(how)},
            .environment = {"KEPT=yes", "LISTEN_PID=1", "PENSTOCK_UPGRADE_FD=77"}};
}

class NewProcessTest : public testing::Test {
protected:
    // Whoever adopts orphans can see how they end.
    NewProcessTest() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }
    ~NewProcessTest() override {
        if (pid == 0) return;
        EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1) << "nothing is left to wait for";
        EXPECT_EQ(errno, ECHILD);
    }
    std::expected<NewProcess, std::string> start_once(const Program& program) {
        auto made = Launcher::start(program, "", "", false);
        if (!made) return std::unexpected(made.error());
        launcher.emplace(*std::move(made));
        auto launched = NewProcess::launch(program, *launcher);
        if (!launched) return std::unexpected(launched.error());
        return NewProcess::watch(context, *std::move(launched));
    }
    void start(const std::string& how) {
        auto made = start_once(successor(how));
        ASSERT_TRUE(made) << made.error();
        process.emplace(*std::move(made));
        pid = process->pid();
    }
    asio::awaitable<void> ask(Manifest manifest, std::vector<int> fds,
                              NewProcess::Patience patience) {
        auto asked = process->hand_over(std::move(manifest), std::move(fds), patience);
        auto got = co_await std::move(asked);
        answer.emplace(std::move(got));
    }
    void hand_over(NewProcess::Patience patience = {}, Manifest manifest = {},
                   std::vector<int> fds = {}) {
        asio::co_spawn(context, ask(std::move(manifest), std::move(fds), patience),
                       net::rethrow_failure);
        while (!answer) ASSERT_NE(context.run_one_for(seconds(60)), 0U);
    }
    [[nodiscard]] std::string refusal() const {
        return answer && !*answer ? answer->error() : "it took over";
    }
    void expect_good_end() const {
        int status = -1;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid) << "it was adopted";
        EXPECT_EQ(status, 0);
    }
    void expect_refusal(std::string_view words) const {
        EXPECT_NE(refusal().find(words), std::string::npos) << refusal();
    }

    asio::io_context context;
    std::optional<Launcher> launcher;
    std::optional<NewProcess> process;
    std::optional<std::expected<Ready, std::string>> answer;
    pid_t pid = 0;
};

TEST_F(NewProcessTest, U1_takes_over_with_all_sockets_and_nothing_else) {
    // What this process does with signals, and what it has open, is not the child's.
    const auto old_handler = std::signal(SIGHUP, SIG_IGN);
    const auto old_child = std::signal(SIGCHLD, SIG_IGN);
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before);
    const int leaked = ::dup(STDIN_FILENO);  // inherited by any exec

    auto group = net::open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 2);
    ASSERT_TRUE(group);
    ASSERT_TRUE(net::start_listening(*group, 8));
    auto admin = net::open_listen_group(Endpoint::ipv4({127, 0, 0, 1}, 0), 1);
    ASSERT_TRUE(admin);
    ASSERT_TRUE(net::start_listening(*admin, 8));
    auto older = net::make_fd_channel();
    ASSERT_TRUE(older);
    const auto bound = group->sockets[0].bound().to_string();
    Manifest manifest{.pid = ::getpid(),
                      .sockets = {{.bind = "127.0.0.1:0", .bound = bound, .count = 2}},
                      .admin_sockets = {{.bind = "127.0.0.1:0", .bound = bound, .count = 1}},
                      .older = {{.pid = 12}}};
    start("report");
    hand_over({}, std::move(manifest),
              {group->sockets[0].fd(), group->sockets[1].fd(), admin->sockets[0].fd(),
               older->first.get()});
    ::close(leaked);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    std::signal(SIGHUP, old_handler);

    ASSERT_TRUE(*answer) << refusal();
    EXPECT_EQ((*answer)->pid, pid);
    EXPECT_EQ((*answer)->version,
              "fds 0 1 2 3; signals as usual; KEPT=yes LISTEN_PID=-; sockets 127.0.0.1:0 (" +
                  bound + "); admin 1; channels 1; from " + std::to_string(::getpid()));
    EXPECT_EQ(process->end(), std::nullopt);
    EXPECT_EQ(::kill(pid, 0), 0) << "it goes on";
    // The end of this process is the end of the channel.
    std::signal(SIGCHLD, old_child);
    process->channel().close();
    expect_good_end();
}

TEST_F(NewProcessTest, one_that_is_ready_outlives_the_object) {
    start("report");
    hand_over();
    ASSERT_TRUE(*answer) << refusal();
    process.reset();
    expect_good_end();
}

// Process 1, which a service manager is, and no child of this process.
TEST_F(NewProcessTest, one_that_is_ready_belongs_to_who_adopts_orphans) {
    start("hang");
    EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1) << "it is the launcher's until then";
    process.reset();
    start("report");
    hand_over();
    ASSERT_TRUE(*answer) << refusal();
    EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), 0);
    EXPECT_FALSE(launcher->launch(0)) << "there is nothing to start any more";
    process.reset();
    expect_good_end();
}

TEST_F(NewProcessTest, U2_says_in_its_own_words_why_it_fails) {
    start("fail");
    hand_over();
    expect_refusal("cannot take over: penstock.toml:3:1: error: no such key");
    EXPECT_EQ(process->end(), "has ended with status 2");
}

TEST_F(NewProcessTest, U2_one_that_ends_says_how) {
    start("exit");
    hand_over();
    expect_refusal("has ended with status 3");
    expect_refusal("standard error");
}

TEST_F(NewProcessTest, U2_one_that_is_killed_says_by_what) {
    start("die");
    hand_over();
    expect_refusal("was killed by signal 9 (Killed)");
}

TEST_F(NewProcessTest, U2_one_that_hangs_is_ended) {
    start("hang");
    hand_over({.answer = milliseconds(50)});
    expect_refusal("was not ready after 0.05 s");
    EXPECT_EQ(process->end(), "was killed by signal 9 (Killed)");
}

TEST_F(NewProcessTest, U2_one_that_fails_and_stays_is_ended) {
    start("fail and hang");
    hand_over({.end = milliseconds(20)});
    expect_refusal("cannot take over: penstock.toml");
    EXPECT_EQ(process->end(), "was killed by signal 9 (Killed)");
}

TEST_F(NewProcessTest, U2_one_that_knows_nothing_of_upgrades_is_ended) {
    start("close");
    hand_over({.end = milliseconds(20)});
    expect_refusal("is it Penstock?");
    EXPECT_EQ(process->end(), "was killed by signal 9 (Killed)");
}

TEST_F(NewProcessTest, U2_one_that_talks_nonsense_is_ended) {
    start("nonsense");
    hand_over();
    expect_refusal("no message of Penstock");
    EXPECT_EQ(process->end(), "was killed by signal 9 (Killed)");
}

TEST_F(NewProcessTest, U2_a_process_of_its_own_that_keeps_the_channel_hides_nothing) {
    start("child");
    hand_over();
    expect_refusal("has ended with status 5");
}

TEST_F(NewProcessTest, U2_an_attempt_that_is_given_up_leaves_nothing) {
    start("hang");
    process.reset();
    context.run_for(seconds(60));
    EXPECT_TRUE(context.stopped()) << "nobody waits for it any more";
}

TEST_F(NewProcessTest, U2_a_program_that_cannot_run_is_an_error_at_once) {
    Program program = successor("report");
    program.file = "/nonexistent/penstock";
    const auto missing = start_once(program);
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().find("/nonexistent/penstock: No such file"), std::string::npos)
        << missing.error();
    program.file = "/";
    const auto directory = start_once(program);
    ASSERT_FALSE(directory);
    EXPECT_NE(directory.error().find("cannot start /: Permission denied"), std::string::npos)
        << directory.error();
}

}  // namespace
}  // namespace penstock::app::upgrade
