#include "app/upgrade/launcher.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/process.hpp"
#include "app/sandbox/capabilities.hpp"
#include "base/clock.hpp"

namespace penstock::app::upgrade {

namespace {

constexpr int channel_fd = 3;  // in the new process, and that of the requests in the launcher
constexpr Duration start_patience = std::chrono::seconds(30);  // for a slow disk
constexpr Duration last_patience = std::chrono::seconds(1);    // where no disk is waited for
constexpr Duration look = std::chrono::milliseconds(50);
constexpr std::size_t stack_size = 64 * 1024;
constexpr const char* thread_name = "penstock-launch";

struct Answer {
    pid_t pid = -1;
    int error = 0;
    siginfo_t end{};  // instead, if that was asked
};

// What the new process is made of; all of it is there before the first request.
struct Start {
    const char* file = nullptr;
    char* const* arguments = nullptr;
    char* const* environment = nullptr;
    int channel = -1;
    int error = 0;
};

// The new process, in the launcher's memory until exec; the launcher waits for that. Sanitizers
// know nothing of its stack.
__attribute__((no_sanitize("address", "thread"))) int become_successor(void* data) {
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

// How it went, as bytes: both sides are one program.
std::string_view bytes_of(const Answer& answer) {
    return {reinterpret_cast<const char*>(&answer), sizeof answer};
}

std::optional<Answer> answer_in(std::string_view bytes) {
    Answer answer;
    if (bytes.size() != sizeof answer) return std::nullopt;
    std::memcpy(&answer, bytes.data(), sizeof answer);
    return answer;
}

Answer start_program(Start& start, int channel, net::UniqueFd& pidfd) {
    alignas(16) static std::array<char, stack_size> stack;
    // One that was killed, and whose disk held it so long that nobody asked how it ended.
    while (::waitpid(-1, nullptr, WNOHANG) > 0) continue;
    start.channel = channel;
    start.error = 0;
    int handle = -1;
    // CLONE_VFORK: we go on when it has started, or failed to.
    const pid_t pid = ::clone(become_successor, stack.data() + stack.size(),
                              CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, &handle);
    if (pid < 0) return {.error = errno};
    pidfd = net::UniqueFd(handle);
    if (start.error != 0) ::waitpid(pid, nullptr, 0);
    return {.pid = pid, .error = start.error};
}

Answer see_how_it_ended(pid_t pid) {
    Answer answer;
    if (::waitid(P_PID, static_cast<id_t>(pid), &answer.end, WEXITED) != 0) answer.error = errno;
    return answer;
}

// A request is the channel of a new process, or nothing: then it is about the last one's end.
[[noreturn]] void serve_requests(Start start) {
    net::BlockingFdChannel requests(net::UniqueFd(channel_fd), {.bytes = 0, .fds = 1});
    pid_t last = -1;
    for (;;) {
        const auto request = requests.receive(no_deadline);
        if (!request) ::_exit(0);  // its process has ended
        std::vector<int> handles;
        net::UniqueFd pidfd;
        Answer answer;
        if (request->fds.empty()) {
            answer = see_how_it_ended(last);
        } else {
            answer = start_program(start, request->fds.front().get(), pidfd);
            last = answer.pid;
            if (pidfd) handles.push_back(pidfd.get());
        }
        if (!requests.send(bytes_of(answer), handles, no_deadline)) ::_exit(0);
    }
}

struct Reply {
    Answer answer{};
    net::UniqueFd pidfd{};
};

std::optional<Reply> reply_in(net::FdMessage message) {
    auto answer = answer_in(message.bytes);
    if (!answer) return std::nullopt;
    Reply reply{.answer = *answer};
    if (!message.fds.empty()) reply.pidfd = std::move(message.fds.front());
    return reply;
}

std::optional<Reply> ask(net::BlockingFdChannel& launcher, const std::vector<int>& request,
                         TimePoint deadline, const std::atomic<bool>& hurry) {
    const SteadyClock clock;
    if (!launcher.send({}, request, deadline)) return std::nullopt;
    for (bool hurries = false;;) {
        if (!hurries && hurry) {
            hurries = true;
            deadline = std::min(deadline, clock.now() + last_patience);
        }
        auto answer = launcher.receive(std::min(deadline, clock.now() + look));
        if (answer) return reply_in(*std::move(answer));
        if (answer.error().kind != net::FdChannelError::Kind::timed_out) return std::nullopt;
        if (clock.now() >= deadline) return std::nullopt;
    }
}

std::string words_of(const siginfo_t& info) {
    if (info.si_code == CLD_EXITED) return fmt::format("has ended with status {}", info.si_status);
    return fmt::format("was killed by signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

// What it has is what a new process can get at most.
void confine() {
    namespace capabilities = sandbox::capabilities;
    if (::getuid() == 0)
        static_cast<void>(capabilities::drop_all_but(capabilities::to_start_as_root));
    else  // they would be lost with no_new_privs, if they come from the file that was started
        capabilities::pass_on(capabilities::net_bind_service);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

[[noreturn]] void run_launcher(int fd, pid_t parent, Program program, const std::string& user,
                               const std::string& group, bool is_confined) {
    // Signals are its process's business, which it ends with.
    for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_IGN);
    std::signal(SIGCHLD, SIG_DFL);  // ignored, children vanish without a word about how they ended
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (!switch_user(user, group)) ::_exit(1);  // its process says why
    if (is_confined) confine();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != parent) ::_exit(0);
    ::prctl(PR_SET_NAME, thread_name, 0, 0, 0);
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
    auto ends = net::make_fd_channel();
    if (!ends) return failed(ends.error().value());
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return failed(errno);
    if (pid == 0) run_launcher(ends->second.get(), parent, program, user, group, is_confined);
    return Launcher(std::move(ends->first), pid);
}

Launcher::Launcher(net::UniqueFd fd, pid_t pid)
    : channel_(std::in_place, std::move(fd), net::FdLimits{.bytes = sizeof(Answer), .fds = 1}),
      pid_(pid) {}

Launcher::Launcher(Launcher&& other) noexcept
    : channel_(std::exchange(other.channel_, std::nullopt)), pid_(std::exchange(other.pid_, -1)) {}

Launcher::~Launcher() { finish(); }

void Launcher::finish() noexcept {
    channel_.reset();
    const pid_t pid = std::exchange(pid_, -1);
    if (pid <= 0) return;
    ::kill(pid, SIGKILL);  // it may be waiting for the disk
    ::waitpid(pid, nullptr, 0);
}

void Launcher::let_go() noexcept { finish(); }

std::string Launcher::how_it_ended() {
    const auto reply =
        channel_ ? ask(*channel_, {}, SteadyClock().now() + last_patience, hurry_) : std::nullopt;
    if (!reply) channel_.reset();  // as below
    return reply && reply->answer.error == 0 ? words_of(reply->answer.end) : "has ended";
}

std::expected<Launcher::Started, std::string> Launcher::launch(int channel) {
    auto reply = channel_ ? ask(*channel_, {channel}, SteadyClock().now() + start_patience, hurry_)
                          : std::nullopt;
    if (!reply) {
        // An answer that comes yet must not be taken for that to another request. What it is about
        // finds nobody at its channel, and ends.
        channel_.reset();
        return std::unexpected(
            "the process that starts programs for this one has ended, or does not answer; this "
            "proxy cannot be upgraded any more, restart it");
    }
    if (reply->answer.error != 0) return std::unexpected(message_of(reply->answer.error));
    return Started{reply->answer.pid, std::move(reply->pidfd)};
}

}  // namespace penstock::app::upgrade
