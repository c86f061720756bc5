// What a confined process cannot do any more, tried by a process of its own for each attempt.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <functional>
#include <thread>

#include "app/sandbox/every_thread.hpp"
#include "app/sandbox/sandbox.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/app/refuse_call.hpp"

namespace penstock::app::sandbox {
namespace {

constexpr int could = 0;
constexpr int cannot_be_confined = 250;

/// The attempt returns 0, or the errno that it failed with.
using Attempt = std::function<int()>;

int result_of(bool success) { return success ? could : errno; }

class Places : public testing::Test {
protected:
    Places() {
        config_.process.sandbox = config::SandboxMode::automatic;
        config_.log.target = logs_.path("process.log");
        config::Listener listener;
        listener.bind.emplace_back(*Endpoint::parse("unix:" + sockets_.path("in.sock")));
        listener.allow_file = readable_.write("allow", "10.0.0.0/8\n");
        config_.listeners.push_back(std::move(listener));
    }

    const test::TempDir logs_;
    const test::TempDir sockets_;
    const test::TempDir readable_;
    const test::TempDir elsewhere_;
    config::Config config_;
};

class Confined : public Places, public testing::WithParamInterface<bool> {
protected:
    /// The wait status of a process that is confined and tries; in its main thread, or in one that
    /// was there before.
    int try_it(const Attempt& attempt, bool in_other_thread) {
        const pid_t pid = ::fork();
        if (pid == 0) {
            int result = cannot_be_confined;
            int start[2];
            if (::pipe(start) != 0) ::_exit(result);
            std::thread other([&] {
                char byte = 0;
                if (::read(start[0], &byte, 1) == 1 && in_other_thread) result = attempt();
            });
            const auto confined = Sandbox::enter(config_, {}, {});
            if (!confined)
                std::fprintf(stderr, "%s\n", confined.error().c_str());
            else if (!in_other_thread)
                result = attempt();
            if (confined && ::write(start[1], "x", 1) != 1) ::_exit(cannot_be_confined);
            if (!confined) ::close(start[1]);
            other.join();
            ::_exit(result);
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        return status;
    }
    int exit_of(const Attempt& attempt) {
        const int status = try_it(attempt, GetParam());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    void strict() { config_.process.sandbox = config::SandboxMode::strict; }
};

using PartlyConfined = Places;

int make_memory_file() { return result_of(::memfd_create("x", 0) >= 0); }

// None of these needs a capability: that it is refused is the filter's doing.
const Attempt forbidden[] = {
    [] {
        char program[] = "/bin/true";
        char* const arguments[] = {program, nullptr};
        ::execve(program, arguments, arguments + 1);
        return errno;
    },
    [] { return result_of(::syscall(SYS_fork) >= 0); },
    [] { return result_of(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0); },
    [] { return result_of(::socket(AF_ALG, SOCK_SEQPACKET, 0) >= 0); },
    // The upper half of the argument, at which the kernel does not look, changes nothing.
    [] { return result_of(::syscall(SYS_socket, (1L << 32) | AF_ALG, SOCK_SEQPACKET, 0) >= 0); },
    [] { return result_of(::socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC) >= 0); },
    make_memory_file,
    [] { return result_of(::unshare(CLONE_NEWNS | CLONE_NEWUSER) == 0); },
    [] { return result_of(::syscall(SYS_setresuid, -1, -1, -1) == 0); },
    [] { return result_of(::syscall(SYS_io_uring_setup, 1, nullptr) >= 0); },
    // Modes with which a file has its owner's rights, whoever executes it.
    [] { return result_of(::fchmod(STDERR_FILENO, S_ISUID | 0755) == 0); },
    [] { return result_of(::open("", O_WRONLY | O_CREAT, S_ISGID | 0755) >= 0); },
    [] { return result_of(::openat(AT_FDCWD, "", O_WRONLY | O_TMPFILE, S_ISUID | 0755) >= 0); },
    // Code that was data, or will be.
    [] { return result_of(::mprotect(nullptr, 0, PROT_READ | PROT_EXEC) == 0); },
    [] {
        return result_of(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    },
    [] { return result_of(::syscall(SYS_pkey_alloc, 0, 0) >= 0); },
};
// These do, and the capability is gone as well.
const Attempt privileged[] = {
    [] { return result_of(::socket(AF_PACKET, SOCK_RAW, 0) >= 0); },
    [] { return result_of(::setresuid(1, 1, 1) == 0); },
    [] { return result_of(::chroot("/") == 0); },
};

TEST_P(Confined, H3_a_forbidden_system_call_is_refused) {
    for (std::size_t i = 0; i < std::size(forbidden); ++i)
        EXPECT_EQ(exit_of(forbidden[i]), EPERM) << "attempt " << i;
}

TEST_P(Confined, H3_a_forbidden_system_call_ends_a_strict_process) {
    strict();
    for (std::size_t i = 0; i < std::size(forbidden); ++i)
        EXPECT_EQ(exit_of(forbidden[i]), -SIGSYS) << "attempt " << i;
    for (std::size_t i = 0; i < std::size(privileged); ++i)
        EXPECT_EQ(exit_of(privileged[i]), -SIGSYS) << "privileged attempt " << i;
}

TEST_P(Confined, H3_nothing_is_written_outside_of_the_directories_of_logs_and_sockets) {
    const auto create = [](const std::string& path) {
        return [path] { return result_of(::open(path.c_str(), O_WRONLY | O_CREAT, 0600) >= 0); };
    };
    EXPECT_EQ(exit_of(create(elsewhere_.path("new"))), EACCES);
    EXPECT_EQ(exit_of(create(elsewhere_.write("old", "x"))), EACCES);
    EXPECT_EQ(exit_of(create(sockets_.path("file"))), EACCES);
    EXPECT_EQ(exit_of(create(logs_.path("process.log.1"))), could);
    const auto old = elsewhere_.path("old");
    EXPECT_EQ(exit_of([&] { return result_of(::unlink(old.c_str()) == 0); }), EACCES);
    EXPECT_EQ(exit_of([&] { return result_of(::mkdir(elsewhere_.path("d").c_str(), 0700) == 0); }),
              EACCES);
    EXPECT_EQ(exit_of([] { return result_of(::open("/dev/null", O_RDWR) >= 0); }), could);
}

TEST_P(Confined, H3_sockets_are_made_and_removed_in_their_directory_alone) {
    const auto bind_and_remove = [](const std::string& path) {
        return [path] {
            const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            path.copy(address.sun_path, sizeof address.sun_path - 1);
            if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
                return errno;
            return result_of(::unlink(path.c_str()) == 0);
        };
    };
    EXPECT_EQ(exit_of(bind_and_remove(sockets_.path("new.sock"))), could);
    EXPECT_EQ(exit_of(bind_and_remove(elsewhere_.path("new.sock"))), EACCES);
}

TEST_P(Confined, H3_strict_reads_only_where_the_configuration_names_files) {
    const auto open = [](const std::string& path) {
        return [path] { return result_of(::open(path.c_str(), O_RDONLY) >= 0); };
    };
    const auto secret = elsewhere_.write("secret", "x");
    EXPECT_EQ(exit_of(open(secret)), could);
    strict();
    EXPECT_EQ(exit_of(open(secret)), EACCES);
    EXPECT_EQ(exit_of(open(readable_.path("allow"))), could);
    EXPECT_EQ(exit_of(open("/etc/passwd")), could);
    EXPECT_EQ(exit_of(open("/proc/self/stat")), could);
    EXPECT_EQ(exit_of(open("/proc/1/environ")), EACCES);
}

TEST_P(Confined, H2_privileges_are_gone_and_do_not_come_back) {
    EXPECT_EQ(exit_of([] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1; }), 0);
    EXPECT_EQ(exit_of([] { return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 ? 0 : 1; }), 0);
    // Who is not root cannot drop what it would never get.
    const int bound = ::geteuid() == 0 ? 0 : ::prctl(PR_CAPBSET_READ, 21, 0, 0, 0);
    EXPECT_EQ(exit_of([] { return ::prctl(PR_CAPBSET_READ, 21, 0, 0, 0); }), bound) << "sys_admin";
    for (std::size_t i = 0; i < std::size(privileged); ++i)
        EXPECT_EQ(exit_of(privileged[i]), EPERM) << "privileged attempt " << i;
    const auto file = elsewhere_.write("file", "x");
    EXPECT_EQ(exit_of([&] { return result_of(::chown(file.c_str(), 1, 1) == 0); }), EPERM);
    EXPECT_EQ(exit_of([] {
                  rlimit core{1, 1};
                  ::getrlimit(RLIMIT_CORE, &core);
                  return static_cast<int>(core.rlim_cur + core.rlim_max);
              }),
              0);
}

TEST_P(Confined, H3_new_threads_can_be_made_and_are_confined_too) {
    EXPECT_EQ(exit_of([] {
                  int result = -1;
                  std::thread([&] { result = make_memory_file(); }).join();
                  return result;
              }),
              EPERM);
}

TEST_P(Confined, H3_addresses_of_the_machine_can_be_listed) {
    EXPECT_EQ(
        exit_of([] {
            return result_of(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) >= 0);
        }),
        could);
}

TEST_P(Confined, H3_what_was_written_is_never_executed) {
    EXPECT_EQ(exit_of([] {
                  void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  return result_of(::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
              }),
              EPERM);
}

TEST_P(Confined, H3_libraries_are_loaded_late) {
    EXPECT_EQ(exit_of([] {
                  void* const code = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE,
                                            ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC), 0);
                  return result_of(code != MAP_FAILED);
              }),
              could);
}

// As root's it would be a way to root for everybody on the machine.
TEST_P(Confined, H3_no_file_gives_away_the_rights_of_its_owner) {
    const auto log = logs_.write("process.log", "x");
    const auto change = [&](mode_t mode) {
        return [log, mode] { return result_of(::chmod(log.c_str(), mode) == 0); };
    };
    EXPECT_EQ(exit_of(change(S_ISUID | 0755)), EPERM);
    EXPECT_EQ(exit_of(change(S_ISGID | 0755)), EPERM);
    const auto make = [&](mode_t mode) {
        const auto path = logs_.path("new");
        return
            [path, mode] { return result_of(::open(path.c_str(), O_WRONLY | O_CREAT, mode) >= 0); };
    };
    EXPECT_EQ(exit_of(make(S_ISUID | 0755)), EPERM);
    // What an open that creates nothing has in the place of a mode is nobody's business.
    EXPECT_EQ(exit_of([log] {
                  return result_of(
                      ::syscall(SYS_openat, AT_FDCWD, log.c_str(), O_RDWR, S_ISUID | S_ISGID) >= 0);
              }),
              could);
    strict();
    EXPECT_EQ(exit_of(change(0600)), could);
    EXPECT_EQ(exit_of(make(0640)), could);
}

// Of a call whose arguments no filter sees.
TEST_P(Confined, H3_a_call_that_cannot_be_judged_is_unknown) {
    strict();
    EXPECT_EQ(exit_of([] { return result_of(::syscall(SYS_openat2, -1, "", nullptr, 0) >= 0); }),
              ENOSYS);
}

// One thread cannot be confined; the other ones are, and a reload has to know.
TEST_F(PartlyConfined, half_a_landlock_is_told_and_counts) {
    constexpr long landlock_restrict_self = 446;
    const pid_t pid = ::fork();
    if (pid == 0) {
        int ready[2];
        if (::pipe(ready) != 0) ::_exit(cannot_be_confined);
        std::thread other([&] {
            const bool refused = test::refuse_call(landlock_restrict_self, EPERM);
            if (::write(ready[1], refused ? "y" : "n", 1) != 1) ::_exit(cannot_be_confined);
            for (;;) ::pause();
        });
        char byte = 0;
        if (::read(ready[0], &byte, 1) != 1 || byte != 'y') ::_exit(cannot_be_confined);
        const auto confined = Sandbox::enter(config_, {}, {});
        if (!confined) ::_exit(cannot_be_confined);
        const auto missing = confined->missing();
        const bool is_told = std::ranges::any_of(missing, [](const auto& sentence) {
            return sentence.starts_with("no landlock: only 1 threads");
        });
        auto wanted = config_;
        wanted.log.target = elsewhere_.path("process.log");
        ::_exit((is_told ? 0 : 1) + (confined->beyond(wanted, {}, {}).size() == 1 ? 0 : 2));
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// What standard error is in a container, and under systemd; by its name it is a log like any other.
class ConfinedStream : public Places, public testing::WithParamInterface<config::SandboxMode> {
protected:
    /// 0 = all parts are in force, files too, and a reload may name the same log again.
    int with_standard_error(int stream) {
        config_.process.sandbox = GetParam();
        config_.log.target = "/dev/stderr";
        const pid_t pid = ::fork();
        if (pid == 0) {
            if (::dup2(stream, STDERR_FILENO) < 0) ::_exit(cannot_be_confined);
            const auto confined = Sandbox::enter(config_, {}, {});
            if (!confined) ::_exit(1);
            if (!confined->missing().empty()) ::_exit(2);
            if (!confined->beyond(config_, {}, {}).empty()) ::_exit(3);
            if (::open(elsewhere_.path("new").c_str(), O_WRONLY | O_CREAT, 0600) >= 0) ::_exit(4);
            struct stat status{};
            const bool is_pipe = ::fstat(STDERR_FILENO, &status) == 0 && S_ISFIFO(status.st_mode);
            if (is_pipe && ::open("/dev/stderr", O_WRONLY | O_APPEND) < 0) ::_exit(5);
            ::_exit(0);
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
};

TEST_P(ConfinedStream, log_to_a_pipe) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    EXPECT_EQ(with_standard_error(ends[1]), 0);
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST_P(ConfinedStream, log_to_a_socket) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    EXPECT_EQ(with_standard_error(ends[1]), 0);
    ::close(ends[0]);
    ::close(ends[1]);
}

INSTANTIATE_TEST_SUITE_P(, ConfinedStream,
                         testing::Values(config::SandboxMode::automatic,
                                         config::SandboxMode::strict),
                         [](const auto& param) -> std::string {
                             return param.param == config::SandboxMode::strict ? "strict" : "auto";
                         });

INSTANTIATE_TEST_SUITE_P(, Confined, testing::Values(false, true),
                         [](const auto& param) -> std::string {
                             return param.param ? "in_a_thread_of_before" : "in_the_main_thread";
                         });

TEST(SandboxThreads, one_that_answers_late_finds_nothing_left_to_do) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        int step[2];
        int done[2];
        if (::pipe(step) != 0 || ::pipe(done) != 0) ::_exit(1);
        std::thread other([&] {
            sigset_t all;
            sigfillset(&all);
            ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
            char byte = 0;
            if (::write(done[1], "b", 1) != 1 || ::read(step[0], &byte, 1) != 1) ::_exit(1);
            ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);  // now the signal comes
            ::_exit(::write(done[1], "u", 1) == 1 ? 0 : 1);
        });
        char byte = 0;
        if (::read(done[0], &byte, 1) != 1) ::_exit(1);
        const auto asked = on_every_thread([] { return 0; }, std::chrono::milliseconds(50));
        if (asked || asked.error().threads != 1 || !asked.error().why.ends_with("does not answer"))
            ::_exit(2);
        if (::write(step[1], "x", 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Sandbox, off_denies_nothing_and_says_so) {
    config::Config config;
    config.process.sandbox = config::SandboxMode::off;
    const auto sandbox = Sandbox::enter(config, {}, {});
    ASSERT_TRUE(sandbox);
    EXPECT_EQ(sandbox->summary(), "off");
    EXPECT_TRUE(sandbox->missing().empty());
    EXPECT_FALSE(possible(config::SandboxMode::off));
}

}  // namespace
}  // namespace penstock::app::sandbox
