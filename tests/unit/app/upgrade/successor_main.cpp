// What the tests start where a running proxy starts its successor, or where systemd starts a
// service. The first argument says how it behaves.
#include <csignal>
#include <cstdlib>

#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/inherited_sockets.hpp"
#include "app/upgrade/predecessor.hpp"
#include "app/upgrade/program.hpp"

namespace {

using namespace penstock;
using namespace penstock::app;

TimePoint soon() { return SteadyClock().now() + std::chrono::seconds(30); }

upgrade::Predecessor predecessor() {
    auto found = upgrade::Predecessor::find(config::process_environment());
    if (!found || !*found) {
        fmt::print(stderr, "no predecessor: {}\n", found ? "" : found.error());
        std::exit(70);
    }
    return std::move(**found);
}

void wait_for_its_end(upgrade::Predecessor& old) {
    net::BlockingFdChannel channel(old.release());
    while (channel.receive(no_deadline)) continue;
}

std::string open_descriptors() {
    std::string list;
    for (int fd = 0; fd < 100; ++fd)
        if (::fcntl(fd, F_GETFD) >= 0) list += fmt::format("{}{}", list.empty() ? "" : " ", fd);
    return list;
}

std::string signals() {
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, nullptr, &blocked);
    std::string unusual;
    for (int number = 1; number < SIGRTMAX; ++number) {
        struct sigaction action{};
        if (sigaction(number, nullptr, &action) != 0) continue;
        if (action.sa_handler == SIG_IGN || sigismember(&blocked, number) == 1)
            unusual += fmt::format(" {}", number);
    }
    return unusual.empty() ? "as usual" : "unusual:" + unusual;
}

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "-" : value;
}

/// The version of the answer tells the test what was found.
int report() {
    auto facts = fmt::format("fds {}; signals {}; KEPT={} LISTEN_PID={}", open_descriptors(),
                             signals(), variable("KEPT"), variable("LISTEN_PID"));
    auto old = predecessor();
    auto estate = old.receive(soon());
    if (!estate) {
        old.say_failed(estate.error(), soon());
        return 1;
    }
    InheritedSockets sockets;
    if (auto added = sockets.add(estate->manifest.sockets, std::move(estate->sockets)); !added) {
        old.say_failed(added.error(), soon());
        return 1;
    }
    facts += fmt::format("; sockets {}; admin {}; channels {}; from {}",
                         fmt::join(sockets.left_over(), ", "), estate->admin_sockets.size(),
                         estate->channels.size(), estate->manifest.pid);
    if (!old.say_ready({::getpid(), facts}, soon())) return 1;
    wait_for_its_end(old);
    return 0;
}

int fail(bool hangs) {
    auto old = predecessor();
    old.say_failed("penstock.toml:3:1: error: no such key", soon());
    if (hangs) wait_for_its_end(old);
    return 2;
}

int talk_nonsense() {
    ::send(3, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
    ::pause();
    return 0;
}

int close_the_channel() {
    ::close(3);
    ::pause();
    return 0;
}

/// A process of its own keeps the channel.
int leave_a_child() {
    if (::fork() != 0) return 5;
    auto old = predecessor();
    wait_for_its_end(old);
    return 0;
}

int be_activated() {
    auto sockets =
        InheritedSockets::from_service_manager(config::process_environment(), ::getpid());
    if (!sockets) {
        fmt::print("{}\n", sockets.error());
        return 1;
    }
    const auto groups = sockets->take("systemd:web");
    if (!groups) {
        fmt::print("{}\n", groups.error());
        return 1;
    }
    for (const auto& group : *groups)
        fmt::print("{} {}\n", group.sockets.size(), group.sockets.front().bound().to_string());
    for (const auto& left : sockets->left_over()) fmt::print("left: {}\n", left);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view how = argc > 1 ? argv[1] : "";
    if (how == "report") return report();
    if (how == "fail") return fail(false);
    if (how == "fail and hang") return fail(true);
    if (how == "nonsense") return talk_nonsense();
    if (how == "close") return close_the_channel();
    if (how == "child") return leave_a_child();
    if (how == "activated") return be_activated();
    if (how == "hang") ::pause();
    if (how == "die") ::raise(SIGKILL);
    return 3;
}
