#include "tests/support/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>
#include <tuple>

extern char** environ;  // POSIX leaves its declaration to the program

namespace penstock::test {

namespace {

struct Pipe {
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            throw std::system_error(errno, std::generic_category(), "pipe2");
        reading = UniqueFd(ends[0]);
        writing = UniqueFd(ends[1]);
    }
    UniqueFd reading;
    UniqueFd writing;
};

std::vector<std::string> environment_with(const std::map<std::string, std::string>& added) {
    std::vector<std::string> result;
    for (char** entry = environ; *entry; ++entry) {
        const std::string text = *entry;
        if (!added.contains(text.substr(0, text.find('=')))) result.push_back(text);
    }
    for (const auto& [name, value] : added) result.push_back(name + "=" + value);
    return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

/// The child's side of fork(), in a process with other threads: async-signal-safe calls only.
[[noreturn]] void become(char* const* argv, char* const* environment, const SpawnOptions& options,
                         pid_t parent, int out, int err) {
    // A test that is killed (by a time limit) must not leave its programs behind.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    for (int number = 1; number < SIGRTMAX; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (options.new_session) ::setsid();
    if (options.own_group) ::setpgid(0, 0);
    if (options.close_standard_fds) {
        for (int fd = 0; fd < 3; ++fd) ::close(fd);
    } else {
        ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
        ::dup2(out, 1);
        ::dup2(err, 2);
    }
    ::execvpe(argv[0], argv, environment);
    ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& argv, const SpawnOptions& options) {
    Pipe out, err;
    auto arguments = argv;
    auto environment = environment_with(options.environment);
    const auto argument_pointers = pointers(arguments);
    const auto environment_pointers = pointers(environment);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) {
        become(argument_pointers.data(), environment_pointers.data(), options, parent,
               out.writing.get(), err.writing.get());
    }
    if (options.own_group) ::setpgid(pid_, pid_);  // whoever of both is first
    stdout_ = std::move(out.reading);
    stderr_ = std::move(err.reading);
    wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    collector_ = std::thread([this] { collect(); });
}

ChildProcess::~ChildProcess() {
    if (running()) {
        signal(SIGKILL);
        wait_exit();
    }
    abandon_output();
}

void ChildProcess::signal(int number) const {
    if (pid_ > 0 && !status_) ::kill(pid_, number);
}

std::string ChildProcess::output() const {
    const std::lock_guard lock(mutex_);
    return output_;
}

std::string ChildProcess::errors() const {
    const std::lock_guard lock(mutex_);
    return errors_;
}

bool ChildProcess::running() {
    if (!status_) {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    }
    return !status_;
}

std::optional<int> ChildProcess::wait_exit(milliseconds limit) {
    wait_for([this] { return !running(); }, limit);
    // All output is there once both pipes have ended; a grandchild may hold them longer.
    if (status_ && collector_.joinable()) {
        const std::uint64_t one = 1;
        std::ignore = ::write(wake_.get(), &one, sizeof one);
        collector_.join();
    }
    return status_;
}

void ChildProcess::abandon_output() {
    if (collector_.joinable()) {
        const std::uint64_t one = 1;
        std::ignore = ::write(wake_.get(), &one, sizeof one);
        collector_.join();
    }
    stdout_.close();
    stderr_.close();
}

void ChildProcess::collect() {
    pollfd entries[3] = {
        {stdout_.get(), POLLIN, 0}, {stderr_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    bool told_to_end = false;
    while (entries[0].fd >= 0 || entries[1].fd >= 0) {
        // Told to end: what is in the pipes already is still read, nothing is waited for.
        const int ready = ::poll(entries, 3, told_to_end ? 0 : -1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return;
        if (entries[2].revents) {
            told_to_end = true;
            entries[2].fd = -1;
        }
        for (int i = 0; i < 2; ++i) {
            if (entries[i].fd < 0 || !entries[i].revents) continue;
            char buffer[16384];
            const auto n = ::read(entries[i].fd, buffer, sizeof buffer);
            if (n <= 0) {
                entries[i].fd = -1;
                continue;
            }
            const std::lock_guard lock(mutex_);
            (i == 0 ? output_ : errors_).append(buffer, static_cast<std::size_t>(n));
        }
        entries[2].revents = 0;
    }
}

std::string run_program(const std::vector<std::string>& argv, milliseconds limit) {
    ChildProcess child(argv);
    const auto status = child.wait_exit(limit);
    if (!status || !WIFEXITED(*status) || WEXITSTATUS(*status) != 0) {
        std::string line;
        for (const std::string& word : argv) line += word + " ";
        throw std::runtime_error(line + (status ? "failed: " : "did not end: ") + child.errors() +
                                 child.output());
    }
    return child.output();
}

}  // namespace penstock::test
