#include "app/service_manager.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "net/unique_fd.hpp"

namespace penstock::app {

namespace {

// A whole number above 0, and nothing else.
std::optional<std::int64_t> positive(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value <= 0) return std::nullopt;
    return value;
}

}  // namespace

std::string reloading_lines(TimePoint now) {
    return fmt::format("RELOADING=1\nMONOTONIC_USEC={}", whole_us(now.time_since_epoch()));
}

std::string main_pid_line(pid_t pid) { return fmt::format("MAINPID={}", pid); }

std::optional<Duration> watchdog_interval(const config::Environment& environment, pid_t self,
                                          bool took_over) {
    const auto limit = positive(environment("WATCHDOG_USEC").value_or(""));
    if (!limit) return std::nullopt;
    const auto pid = environment("WATCHDOG_PID");
    if (pid && !took_over && positive(*pid) != self) return std::nullopt;
    constexpr std::int64_t longest_us = std::numeric_limits<std::int64_t>::max() / 1000;
    return Duration(std::chrono::microseconds(std::min(*limit, longest_us))) / 2;
}

std::optional<Endpoint> notify_socket(const config::Environment& environment) {
    const auto name = environment("NOTIFY_SOCKET");
    if (!name || !(name->starts_with('/') || name->starts_with('@'))) return std::nullopt;
    auto endpoint = Endpoint::parse("unix:" + *name);
    if (!endpoint) return std::nullopt;
    return *std::move(endpoint);
}

Result<void> send_state(const Endpoint& to, std::string_view state) noexcept {
    const net::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return unexpected_errno();
    constexpr timeval patience{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_storage address;
    const socklen_t length = to.to_sockaddr(address);
    if (::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), length) < 0)
        return unexpected_errno();
    return {};
}

}  // namespace penstock::app
