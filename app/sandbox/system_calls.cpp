#include "app/sandbox/system_calls.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace penstock::app::sandbox {

namespace {

constexpr const char* always[] = {
    // Relaying and the loops.
    "read", "write", "readv", "writev", "recvfrom", "recvmsg", "recvmmsg", "recv", "sendto",
    "sendmsg", "sendmmsg", "send", "splice", "tee", "sendfile", "close", "shutdown", "accept",
    "accept4", "connect", "bind", "listen", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "socketpair", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "eventfd2", "eventfd", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "fcntl", "fcntl64",
    "dup", "dup2", "dup3", "close_range",
    // Files: which ones is Landlock's and the file system's to say.
    "stat", "lstat", "fstat", "newfstatat", "fstatat64", "stat64", "lstat64", "fstat64", "statx",
    "statfs", "fstatfs", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents",
    "getdents64", "getcwd", "lseek", "_llseek", "pread64", "pwrite64", "preadv", "pwritev",
    "preadv2", "pwritev2", "fsync", "fdatasync", "flock", "ftruncate", "fadvise64", "fallocate",
    "mkdir", "mkdirat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "chown", "lchown",
    "fchown", "fchownat", "umask", "inotify_init", "inotify_init1", "inotify_add_watch",
    "inotify_rm_watch",
    // Memory.
    "munmap", "mremap", "madvise", "brk", "mincore", "msync", "mlock", "munlock", "membarrier",
    // Threads, signals, time.
    "futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "exit",
    "exit_group", "gettid", "getpid", "getppid", "getpgrp", "getpgid", "getsid", "tgkill", "tkill",
    "rt_tgsigqueueinfo", "kill", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getcpu",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
    "rt_sigsuspend", "sigaltstack", "sigreturn", "restart_syscall", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "clock_gettime64", "clock_getres_time64",
    "clock_nanosleep_time64", "futex_time64", "ppoll_time64", "pselect6_time64", "gettimeofday",
    "time", "times", "getitimer",
    // What the process asks about itself.
    "getrusage", "getrlimit", "ugetrlimit", "sysinfo", "uname", "getuid", "geteuid", "getgid",
    "getegid", "getresuid", "getresgid", "getgroups", "capget", "getrandom", "arch_prctl",
    "get_thread_area", "set_thread_area", "riscv_flush_icache", "cacheflush",
    // The successor of an upgrade: watched, and ended if it is of no use.
    "waitid", "wait4", "waitpid", "pidfd_send_signal"};

constexpr std::uint32_t whole = 0xffffffff;

constexpr std::uint32_t set_id = S_ISUID | S_ISGID;
// Without these no mode is looked at. O_TMPFILE has O_DIRECTORY in it, which creates nothing.
constexpr std::uint32_t creating = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);
constexpr std::uint32_t code_that_changes = PROT_WRITE | PROT_EXEC;

constexpr CheckedCall checked[] = {
    // Landlock sees no modes: no file is made that gives its owner's rights to whoever executes it.
    {"open", 1, creating, 0},
    {"open", 2, set_id, 0},
    {"openat", 2, creating, 0},
    {"openat", 3, set_id, 0},
    {"chmod", 1, set_id, 0},
    {"fchmod", 1, set_id, 0},
    {"fchmodat", 2, set_id, 0},
    // Memory that is code, such as libraries that are loaded late, was never anything else.
    {"mmap", 2, code_that_changes, 0},
    {"mmap", 2, code_that_changes, PROT_WRITE},
    {"mmap", 2, code_that_changes, PROT_EXEC},
    {"mmap2", 2, code_that_changes, 0},
    {"mmap2", 2, code_that_changes, PROT_WRITE},
    {"mmap2", 2, code_that_changes, PROT_EXEC},
    {"mprotect", 2, PROT_EXEC, 0},
    {"socket", 0, whole, AF_INET},
    {"socket", 0, whole, AF_INET6},
    {"socket", 0, whole, AF_UNIX},
    // How addresses of this machine are listed.
    {"socket", 0, whole, AF_NETLINK, {2, whole, NETLINK_ROUTE}},
    // A thread, never a process.
    {"clone", 0, CLONE_THREAD, CLONE_THREAD},
    // What is asked of sockets and terminals, never a key put into somebody's terminal (TIOCSTI).
    {"ioctl", 1, whole, FIONBIO},
    {"ioctl", 1, whole, FIONREAD},
    {"ioctl", 1, whole, FIOCLEX},
    {"ioctl", 1, whole, SIOCOUTQ},
    {"ioctl", 1, whole, SIOCATMARK},
    {"ioctl", 1, whole, SIOCGIFCONF},
    {"ioctl", 1, whole, SIOCGIFNAME},
    {"ioctl", 1, whole, SIOCGIFINDEX},
    {"ioctl", 1, whole, SIOCGIFFLAGS},
    {"ioctl", 1, whole, SIOCGIFADDR},
    {"ioctl", 1, whole, SIOCGIFMTU},
    {"ioctl", 1, whole, TCGETS},
    {"ioctl", 1, whole, TIOCGWINSZ},
    // Of this process alone.
    {"prlimit64", 0, whole, 0},
    {"setrlimit", 0, whole, 7},  // RLIMIT_NOFILE
    {"prctl", 0, whole, PR_SET_NAME},
    {"prctl", 0, whole, PR_GET_NAME},
    {"prctl", 0, whole, PR_GET_DUMPABLE},
    {"prctl", 0, whole, PR_GET_SECCOMP},
    {"prctl", 0, whole, PR_GET_NO_NEW_PRIVS},
    {"prctl", 0, whole, PR_CAPBSET_READ},
    {"prctl", 0, whole, PR_GET_PDEATHSIG},
    {"prctl", 0, whole, 0x53564d41},  // PR_SET_VMA: names for memory, of newer C libraries
};

// Their arguments lie in memory, where no filter looks.
constexpr const char* unknown[] = {"clone3", "openat2"};

}  // namespace

std::span<const char* const> free_calls() { return always; }
std::span<const CheckedCall> checked_calls() { return checked; }
std::span<const char* const> unknown_calls() { return unknown; }

}  // namespace penstock::app::sandbox
