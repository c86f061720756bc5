#include "app/sandbox/every_thread.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <set>
#include <string_view>

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.hpp"

namespace penstock::app::sandbox {

namespace {

constexpr Duration patience = std::chrono::seconds(10);

std::string message_of(int error) {
    return std::error_code(error, std::generic_category()).message();
}

// What the handler works on: nothing else reaches a handler.
std::atomic<const std::function<int()>*> asked{nullptr};
std::atomic<int> answer{0};
std::atomic<pid_t> answered{0};

pid_t own_thread() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

void handle(int) noexcept {
    const int before = errno;
    if (const auto* action = asked.load()) {
        answer.store((*action)());
        answered.store(own_thread());
    }
    errno = before;
}

std::expected<std::set<pid_t>, std::string> threads() {
    DIR* const directory = ::opendir("/proc/self/task");
    if (directory == nullptr)
        return std::unexpected("cannot list the threads of this process: /proc/self/task: " +
                               message_of(errno));
    std::set<pid_t> found;
    while (const dirent* entry = ::readdir(directory)) {
        const std::string_view name = entry->d_name;
        pid_t id = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
        if (error == std::errc() && end == name.data() + name.size()) found.insert(id);
    }
    ::closedir(directory);
    return found;
}

// 0, an errno of the action, or ESRCH: it has ended meanwhile.
std::expected<int, std::string> ask(pid_t thread) {
    answered.store(0);
    if (::syscall(SYS_tgkill, ::getpid(), thread, every_thread_signal()) != 0) return errno;
    const auto deadline = SteadyClock().now() + patience;
    while (answered.load() != thread) {
        if (::syscall(SYS_tgkill, ::getpid(), thread, 0) != 0) return errno;
        if (SteadyClock().now() > deadline)
            return std::unexpected(fmt::format("thread {} does not answer", thread));
        ::poll(nullptr, 0, 1);
    }
    return answer.load();
}

}  // namespace

int every_thread_signal() noexcept { return SIGRTMAX; }

std::expected<void, std::string> on_every_thread(const std::function<int()>& action) {
    auto others = threads();
    if (!others) return std::unexpected(others.error());
    struct sigaction mine{};
    struct sigaction before{};
    mine.sa_handler = handle;
    mine.sa_flags = SA_RESTART;
    sigfillset(&mine.sa_mask);
    if (::sigaction(every_thread_signal(), &mine, &before) != 0)
        return std::unexpected("cannot ask the threads: " + message_of(errno));
    asked.store(&action);
    std::expected<void, std::string> result;
    for (const pid_t thread : *others) {
        const auto done = thread == own_thread() ? action() : ask(thread);
        if (!done)
            result = std::unexpected(done.error());
        else if (*done != 0 && *done != ESRCH)
            result = std::unexpected(message_of(*done));
        if (!result) break;
    }
    asked.store(nullptr);
    ::sigaction(every_thread_signal(), &before, nullptr);
    return result;
}

}  // namespace penstock::app::sandbox
