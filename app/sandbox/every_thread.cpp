#include "app/sandbox/every_thread.hpp"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/own_signals.hpp"
#include "app/process.hpp"

namespace penstock::app::sandbox {

namespace {

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
std::expected<int, std::string> ask(pid_t thread, Duration patience) {
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

std::expected<void, Unfinished> on_every_thread(std::function<int()> action, Duration patience) {
    auto others = threads();
    if (!others) return std::unexpected(Unfinished{others.error()});
    struct sigaction mine{};
    struct sigaction before{};
    mine.sa_handler = handle;
    mine.sa_flags = SA_RESTART;
    sigfillset(&mine.sa_mask);
    if (::sigaction(every_thread_signal(), &mine, &before) != 0)
        return std::unexpected(Unfinished{"cannot ask the threads: " + message_of(errno)});
    auto kept = std::make_unique<const std::function<int()>>(std::move(action));
    asked.store(kept.get());
    std::string failure;
    std::size_t count = 0;
    bool silent = false;
    // The caller first: those that it makes later are as it is.
    others->erase(own_thread());
    std::expected<int, std::string> done = (*kept)();
    for (auto next = others->begin();; ++next) {
        silent = !done;
        if (silent)
            failure = done.error();
        else if (*done == 0)
            ++count;
        else if (*done != ESRCH)
            failure = message_of(*done);
        if (!failure.empty() || next == others->end()) break;
        done = ask(*next, patience);
    }
    asked.store(nullptr);
    if (silent)  // it may still be on its way into the handler, or stop there one day
        static_cast<void>(kept.release());
    else
        ::sigaction(every_thread_signal(), &before, nullptr);
    if (!failure.empty()) return std::unexpected(Unfinished{std::move(failure), count});
    return {};
}

}  // namespace penstock::app::sandbox
