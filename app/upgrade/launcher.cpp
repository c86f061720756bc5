#include "app/upgrade/launcher.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.hpp"
#include "base/clock.hpp"

namespace penstock::app::upgrade {

namespace {

constexpr int channel_fd = 3;  // in the new process, and that of the requests in the launcher
constexpr Duration start_patience = std::chrono::seconds(30);  // for a slow disk
constexpr std::size_t stack_size = 64 * 1024;
constexpr const char* thread_name = "penstock-launch";

struct Answer {
    pid_t pid = -1;
    int error = 0;
};

// What the new process is made of; all of it is there before the first request.
struct Start {
    const char* file = nullptr;
    char* const* arguments = nullptr;
    char* const* environment = nullptr;
    int channel = -1;
    int error = 0;
};

// The new process, in the launcher's memory until exec; the launcher waits for that.
int become_successor(void* data) {
    auto& start = *static_cast<Start*>(data);
    for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(start.channel, channel_fd);
    close_from(channel_fd + 1);
    ::execve(start.file, start.arguments, start.environment);
    start.error = errno;
    ::_exit(127);
}

// A request is one byte with the channel of the new process; its answer says how it went.
int receive_request(int fd) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t n = 0;
    do n = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    const cmsghdr* header = n == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
    int received = -1;
    std::memcpy(&received, CMSG_DATA(header), sizeof received);
    return received;
}

[[noreturn]] void serve_requests(Start start) {
    alignas(16) static std::array<char, stack_size> stack;
    for (;;) {
        start.channel = receive_request(channel_fd);
        if (start.channel < 0) ::_exit(0);  // its process has ended
        start.error = 0;
        Answer answer;
        // CLONE_PARENT: it is our process's child, which watches it. CLONE_VFORK: we go on when it
        // has started, or failed to.
        answer.pid = ::clone(become_successor, stack.data() + stack.size(),
                             CLONE_PARENT | CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
        answer.error = answer.pid < 0 ? errno : start.error;
        ::close(start.channel);
        if (::send(channel_fd, &answer, sizeof answer, MSG_NOSIGNAL) < 0) ::_exit(0);
    }
}

// Signals come at any time, and are no reason to give up.
bool send_request(int fd, int channel) noexcept {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &channel, sizeof channel);
    ssize_t n = 0;
    do n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

bool receive_answer(int fd, Answer& answer) noexcept {
    const TimePoint deadline = SteadyClock().now() + start_patience;
    for (TimePoint now = SteadyClock().now(); now < deadline; now = SteadyClock().now()) {
        pollfd waiting{fd, POLLIN, 0};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
        const int ready = ::poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return false;
        const auto n = ::recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
        if (n == sizeof answer) return true;
        if (n >= 0 || (errno != EINTR && errno != EAGAIN)) return false;
    }
    return false;
}

// Who may bind to privileged ports because of the file that was started would lose that with
// no_new_privs.
void keep_privileged_ports() noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    if (::getuid() == 0 || ::syscall(SYS_capget, &header, data.data()) != 0) return;
    constexpr std::uint32_t bit = 1U << CAP_NET_BIND_SERVICE;
    if ((data[0].permitted & bit) == 0) return;
    data[0].inheritable |= bit;
    if (::syscall(SYS_capset, &header, data.data()) != 0) return;
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
}

[[noreturn]] void run_launcher(int fd, pid_t parent, Program program, const std::string& user,
                               const std::string& group, bool is_confined) {
    // Signals are its process's business, which it ends with.
    for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (!switch_user(user, group)) ::_exit(1);  // its process says why
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != parent) ::_exit(0);
    ::prctl(PR_SET_NAME, thread_name, 0, 0, 0);
    if (is_confined) {
        keep_privileged_ports();
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    if (fd != channel_fd) ::dup3(fd, channel_fd, O_CLOEXEC);
    close_from(channel_fd + 1);
    auto environment = successor_environment(program.environment, channel_fd);
    const auto arguments = pointers(program.arguments);
    const auto variables = pointers(environment);
    serve_requests({program.file.c_str(), arguments.data(), variables.data()});
}

}  // namespace

std::expected<Launcher, std::string> Launcher::start(const Program& program,
                                                     const std::string& user,
                                                     const std::string& group, bool is_confined) {
    const auto failed = [](int error) {
        return std::unexpected("cannot start a process for upgrades: " + message_of(error));
    };
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return failed(errno);
    net::UniqueFd own(ends[0]);
    const net::UniqueFd other(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return failed(errno);
    if (pid == 0) run_launcher(other.get(), parent, program, user, group, is_confined);
    return Launcher(std::move(own), pid);
}

Launcher::Launcher(Launcher&& other) noexcept
    : fd_(std::move(other.fd_)), pid_(std::exchange(other.pid_, -1)) {}

Launcher::~Launcher() {
    fd_.reset();
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

std::expected<pid_t, std::string> Launcher::launch(int channel) {
    Answer answer;
    if (!send_request(fd_.get(), channel) || !receive_answer(fd_.get(), answer)) {
        // An answer that comes yet must not be taken for that to another request. What it is about
        // finds nobody at its channel, and ends.
        fd_.reset();
        return std::unexpected(
            "the process that starts programs for this one has ended, or does not answer; this "
            "proxy cannot be upgraded any more, restart it");
    }
    if (answer.error == 0) return answer.pid;
    if (answer.pid > 0) ::waitpid(answer.pid, nullptr, 0);
    return std::unexpected(message_of(answer.error));
}

}  // namespace penstock::app::upgrade
