#include "net/listen_socket.hpp"

#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace penstock::net {

namespace {

std::unexpected<ListenError> fail(const Endpoint& address, std::string_view what,
                                  std::error_code code) {
    std::string advice;
    if (code == std::errc::address_in_use) advice = "; another process listens there";
    if (code == std::errc::permission_denied)
        advice = address.is_unix() ? "; check the directory's permissions"
                                   : "; ports below 1024 need CAP_NET_BIND_SERVICE or root";
    if (code == std::errc::address_not_available)
        advice = "; no network interface has this address";
    return std::unexpected(ListenError{
        code, fmt::format("{}: {}: {}{}", address.to_string(), what, code.message(), advice)});
}

void set_option(int fd, int level, int name) noexcept {
    const int on = 1;
    ::setsockopt(fd, level, name, &on, sizeof on);
}

int option_of(int fd, int name) noexcept {
    int value = 0;
    socklen_t length = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : 0;
}

// What accepted sockets inherit is set here once instead of on each of them.
void set_inherited_options(int fd) noexcept {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    set_option(fd, SOL_SOCKET, SO_OOBINLINE);
}

void set_options(int fd, const Endpoint& address, bool share) noexcept {
    if (address.is_unix()) return;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (share) set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (address.family() == AF_INET6) set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    set_inherited_options(fd);
}

Result<UniqueFd> open_bound(const Endpoint& address, bool share) {
    UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return unexpected_errno();
    set_options(fd.get(), address, share);
    sockaddr_storage raw;
    const socklen_t length = address.to_sockaddr(raw);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&raw), length) != 0)
        return unexpected_errno();
    return fd;
}

Endpoint bound_address(int fd, const Endpoint& asked) {
    if (asked.is_unix()) return asked;  // as it was written
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&raw), &length) != 0) return asked;
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length);
}

// True when somebody accepts connections behind the path.
bool is_alive(const Endpoint& address) {
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_storage raw;
    const socklen_t length = address.to_sockaddr(raw);
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&raw), length) == 0 ||
           errno == EAGAIN;
}

// Clears the way for a unix path: only a socket that nobody serves is removed.
std::expected<void, ListenError> remove_stale(const Endpoint& address) {
    struct stat status{};
    if (::lstat(address.path().c_str(), &status) != 0) {
        if (errno == ENOENT) return {};
        return fail(address, "cannot look at the path", last_error());
    }
    if (!S_ISSOCK(status.st_mode))
        return std::unexpected(
            ListenError{std::make_error_code(std::errc::file_exists),
                        fmt::format("{}: the path exists and is not a socket; remove it or choose "
                                    "another",
                                    address.to_string())});
    if (is_alive(address))
        return fail(address, "cannot bind", std::make_error_code(std::errc::address_in_use));
    if (::unlink(address.path().c_str()) != 0)
        return fail(address, "cannot remove the stale socket", last_error());
    return {};
}

std::expected<ListenGroup, ListenError> open_unix(const Endpoint& address) {
    if (!address.is_abstract())
        if (auto clear = remove_stale(address); !clear) return std::unexpected(clear.error());
    auto fd = open_bound(address, false);
    if (!fd) return fail(address, "cannot bind", fd.error());
    ListenGroup group;
    struct stat status{};
    if (!address.is_abstract() && ::lstat(address.path().c_str(), &status) == 0) {
        group.unix_inode = status.st_ino;
        group.unix_device = status.st_dev;
    }
    group.sockets.emplace_back(*std::move(fd), address);
    return group;
}

}  // namespace

std::expected<ListenGroup, ListenError> open_listen_group(const Endpoint& address,
                                                          std::size_t count, bool beside_own) {
    if (address.is_unix()) return open_unix(address);
    Endpoint bound = address;
    if (!beside_own) {
        auto trial = open_bound(address, false);
        if (!trial) return fail(address, "cannot bind", trial.error());
        // The kernel decides at bind() whether a port may be shared, so the trial socket has to go
        // before the group comes.
        bound = bound_address(trial->get(), address);
    }
    ListenGroup group;
    for (std::size_t i = 0; i < count; ++i) {
        auto fd = open_bound(bound, true);
        if (!fd) return fail(address, "cannot bind", fd.error());
        group.sockets.emplace_back(*std::move(fd), bound);
    }
    return group;
}

std::expected<InheritedSocket, std::string> inspect_listen_socket(int fd) {
    if (::fcntl(fd, F_GETFD) < 0) return std::unexpected("is not open");
    struct stat status{};
    if (::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode))
        return std::unexpected("is no socket");
    const int family = option_of(fd, SO_DOMAIN);
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return std::unexpected("is neither a TCP nor a unix socket");
    const int protocol = option_of(fd, SO_PROTOCOL);
    if (option_of(fd, SO_TYPE) != SOCK_STREAM ||
        (family != AF_UNIX && protocol != IPPROTO_TCP))  // MPTCP and SCTP are streams too
        return std::unexpected("is no stream socket (TCP or unix)");
    if (option_of(fd, SO_ACCEPTCONN) == 0) return std::unexpected("does not listen");
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&raw), &length) != 0)
        return std::unexpected(last_error().message());
    return InheritedSocket{
        family, Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), length)};
}

std::expected<ListenGroup, ListenError> adopt_listen_group(std::vector<UniqueFd> fds,
                                                           const UnixFile& path) {
    ListenGroup group;
    group.unix_device = path.device;
    group.unix_inode = path.inode;
    for (auto& fd : fds) {
        auto socket = inspect_listen_socket(fd.get());
        if (!socket)
            return std::unexpected(
                ListenError{std::make_error_code(std::errc::invalid_argument),
                            fmt::format("inherited descriptor {} {}", fd.get(), socket.error())});
        if (!group.sockets.empty() && socket->bound != group.sockets.front().bound())
            return std::unexpected(ListenError{
                std::make_error_code(std::errc::invalid_argument),
                fmt::format("inherited sockets of one name have different addresses, "
                            "{} and {}; give each address a name of its own",
                            group.sockets.front().bound().to_string(), socket->bound.to_string())});
        ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
        ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
        if (socket->family != AF_UNIX) set_inherited_options(fd.get());
        group.sockets.emplace_back(std::move(fd), std::move(socket->bound));
    }
    return group;
}

std::expected<void, ListenError> grow_listen_group(ListenGroup& group, std::size_t count) {
    if (group.sockets.empty() || group.sockets.size() >= count) return {};
    const Endpoint bound = group.sockets.front().bound();
    for (const auto& socket : group.sockets)
        if (bound.is_unix() || option_of(socket.fd(), SO_REUSEPORT) == 0) return {};
    std::vector<ListenSocket> missing;
    while (group.sockets.size() + missing.size() < count) {
        auto fd = open_bound(bound, true);
        if (!fd && fd.error() == std::errc::address_in_use)
            return std::unexpected(ListenError{
                fd.error(),
                fmt::format("{}: cannot open more sockets beside {} inherited: these were opened "
                            "by another user",
                            bound.to_string(), group.sockets.size())});
        if (!fd) return fail(bound, "cannot open more sockets beside those inherited", fd.error());
        missing.emplace_back(*std::move(fd), bound);
    }
    for (auto& socket : missing) group.sockets.push_back(std::move(socket));
    return {};
}

std::expected<void, ListenError> start_listening(ListenGroup& group, int backlog) {
    for (auto& socket : group.sockets)
        if (::listen(socket.fd(), backlog) != 0)
            return fail(socket.bound(), "cannot listen", last_error());
    return {};
}

void set_backlog(int fd, int backlog) noexcept { ::listen(fd, backlog); }

void remove_unix_path(const ListenGroup& group) noexcept {
    if (group.path_stays || group.unix_inode == 0 || group.sockets.empty()) return;
    const std::string& path = group.sockets.front().bound().path();
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0 && status.st_ino == group.unix_inode &&
        status.st_dev == group.unix_device)
        ::unlink(path.c_str());
}

std::optional<int> kernel_backlog_limit() {
    std::ifstream file("/proc/sys/net/core/somaxconn");
    int value = 0;
    if (file >> value) return value;
    return std::nullopt;
}

AcceptFailure classify_accept_error(int error) noexcept {
    switch (error) {
        case EAGAIN: return AcceptFailure::again;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return AcceptFailure::exhausted;
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
        case EFAULT: return AcceptFailure::fatal;
        default:  // the connection died in the queue, a firewall said no, a signal came (accept(2))
            return AcceptFailure::skip;
    }
}

}  // namespace penstock::net
