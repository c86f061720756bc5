#include "app/upgrade/launcher.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

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
constexpr Duration last_patience = std::chrono::seconds(1);    // of a process that ends
constexpr Duration look = std::chrono::milliseconds(50);
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

// A request is nothing but the channel of the new process.
net::UniqueFd receive_request(net::BlockingFdChannel& requests) {
    auto request = requests.receive(no_deadline);
    if (!request || request->fds.size() != 1) return {};
    return std::move(request->fds.front());
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

[[noreturn]] void serve_requests(Start start) {
    alignas(16) static std::array<char, stack_size> stack;
    net::BlockingFdChannel requests(net::UniqueFd(channel_fd), {.bytes = 0, .fds = 1});
    for (;;) {
        const net::UniqueFd channel = receive_request(requests);
        if (!channel) ::_exit(0);  // its process has ended
        start.channel = channel.get();
        start.error = 0;
        Answer answer;
        // CLONE_PARENT: it is our process's child, which watches it. CLONE_VFORK: we go on when it
        // has started, or failed to.
        answer.pid = ::clone(become_successor, stack.data() + stack.size(),
                             CLONE_PARENT | CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
        answer.error = answer.pid < 0 ? errno : start.error;
        if (!requests.send(bytes_of(answer), {}, no_deadline)) ::_exit(0);
    }
}

std::optional<Answer> ask(net::BlockingFdChannel& launcher, int channel,
                          const std::atomic<bool>& hurry) {
    const SteadyClock clock;
    TimePoint deadline = clock.now() + start_patience;
    if (!launcher.send({}, {channel}, deadline)) return std::nullopt;
    for (bool hurries = false;;) {
        if (!hurries && hurry) {
            hurries = true;
            deadline = std::min(deadline, clock.now() + last_patience);
        }
        const auto answer = launcher.receive(std::min(deadline, clock.now() + look));
        if (answer) return answer_in(answer->bytes);
        if (answer.error().kind != net::FdChannelError::Kind::timed_out) return std::nullopt;
        if (clock.now() >= deadline) return std::nullopt;
    }
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
    : channel_(std::in_place, std::move(fd), net::FdLimits{.bytes = sizeof(Answer), .fds = 0}),
      pid_(pid) {}

Launcher::Launcher(Launcher&& other) noexcept
    : channel_(std::exchange(other.channel_, std::nullopt)), pid_(std::exchange(other.pid_, -1)) {}

Launcher::~Launcher() {
    channel_.reset();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);  // it may be waiting for the disk
    ::waitpid(pid_, nullptr, 0);
}

std::expected<pid_t, std::string> Launcher::launch(int channel) {
    const auto answer = channel_ ? ask(*channel_, channel, hurry_) : std::nullopt;
    if (!answer) {
        // An answer that comes yet must not be taken for that to another request. What it is about
        // finds nobody at its channel, and ends.
        channel_.reset();
        return std::unexpected(
            "the process that starts programs for this one has ended, or does not answer; this "
            "proxy cannot be upgraded any more, restart it");
    }
    if (answer->error == 0) return answer->pid;
    if (answer->pid > 0) ::waitpid(answer->pid, nullptr, 0);
    return std::unexpected(message_of(answer->error));
}

}  // namespace penstock::app::upgrade
