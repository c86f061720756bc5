#include "tests/support/socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ostream>
#include <stdexcept>
#include <system_error>

namespace penstock::test {

namespace {

// The socket interface takes sockaddr for every family; the storage really holds that family.
sockaddr* generic(sockaddr_storage& storage) { return reinterpret_cast<sockaddr*>(&storage); }

template <class T>
T view_as(const sockaddr_storage& storage) {
    T value;
    std::memcpy(&value, &storage, sizeof value);
    return value;
}

socklen_t fill_unix(sockaddr_storage& storage, std::string_view path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::invalid_argument("unix path too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    const bool abstract = path.starts_with('@');
    if (abstract) address.sun_path[0] = '\0';
    std::memcpy(&storage, &address, sizeof address);
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + !abstract);
}

void set_option(int fd, int level, int name, int value) {
    if (::setsockopt(fd, level, name, &value, sizeof value) != 0)
        throw std::system_error(errno, std::generic_category(), "setsockopt");
}

}  // namespace

Address Address::parse(std::string_view text) {
    Address result;
    if (text.starts_with("unix:")) {
        result.size_ = fill_unix(result.storage_, text.substr(5));
        return result;
    }
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) throw std::invalid_argument("address without a port");
    std::uint16_t port = 0;
    const auto digits = text.substr(colon + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), port);
    std::string host(text.substr(0, colon));
    if (host.starts_with('[')) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port);
        host = host.substr(1, host.size() - 2);
        if (::inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1)
            throw std::invalid_argument("bad address " + std::string(text));
        std::memcpy(&result.storage_, &address, sizeof address);
        result.size_ = sizeof address;
    } else {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
            throw std::invalid_argument("bad address " + std::string(text));
        std::memcpy(&result.storage_, &address, sizeof address);
        result.size_ = sizeof address;
    }
    return result;
}

Address Address::local_of(int fd) {
    Address result;
    result.size_ = sizeof result.storage_;
    if (::getsockname(fd, generic(result.storage_), &result.size_) != 0) result.size_ = 0;
    return result;
}

Address Address::peer_of(int fd) {
    Address result;
    result.size_ = sizeof result.storage_;
    if (::getpeername(fd, generic(result.storage_), &result.size_) != 0) result.size_ = 0;
    return result;
}

const sockaddr* Address::data() const { return reinterpret_cast<const sockaddr*>(&storage_); }

std::uint16_t Address::port() const {
    if (storage_.ss_family == AF_INET) return ntohs(view_as<sockaddr_in>(storage_).sin_port);
    if (storage_.ss_family == AF_INET6) return ntohs(view_as<sockaddr_in6>(storage_).sin6_port);
    return 0;
}

std::string Address::text() const {
    char host[INET6_ADDRSTRLEN] = "";
    switch (storage_.ss_family) {
        case AF_INET: {
            const auto address = view_as<sockaddr_in>(storage_);
            ::inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
            return std::string(host) + ":" + std::to_string(port());
        }
        case AF_INET6: {
            const auto address = view_as<sockaddr_in6>(storage_);
            ::inet_ntop(AF_INET6, &address.sin6_addr, host, sizeof host);
            return "[" + std::string(host) + "]:" + std::to_string(port());
        }
        case AF_UNIX: {
            const auto address = view_as<sockaddr_un>(storage_);
            if (size_ <= offsetof(sockaddr_un, sun_path)) return "unix:";
            if (address.sun_path[0] != '\0') return std::string("unix:") + address.sun_path;
            const std::size_t length = size_ - offsetof(sockaddr_un, sun_path) - 1;
            return "unix:@" + std::string(address.sun_path + 1, length);
        }
        default: return "unknown";
    }
}

const char* name_of(End end) {
    switch (end) {
        case End::open: return "open";
        case End::fin: return "FIN";
        case End::reset: return "RST";
        case End::failed: return "failed";
    }
    return "?";
}

std::ostream& operator<<(std::ostream& out, End end) { return out << name_of(end); }

End end_of(std::ptrdiff_t received) {
    if (received > 0 || received == -ETIMEDOUT) return End::open;
    if (received == 0) return End::fin;
    return received == -ECONNRESET || received == -EPIPE ? End::reset : End::failed;
}

bool wait_ready(int fd, short flags, Clock::time_point until) {
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
        pollfd entry{fd, flags, 0};
        const int n = ::poll(&entry, 1, static_cast<int>(std::max<decltype(left)>(left, 0)));
        if (n > 0) return true;
        if (n == 0) return false;
        if (errno != EINTR) return true;  // the call that follows tells the error
    }
}

Socket::Socket(UniqueFd fd) : fd_(std::move(fd)) {}

std::expected<Socket, int> Socket::connect(const Address& to, const SocketOptions& options,
                                           milliseconds limit) {
    UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return std::unexpected(errno);
    if (options.receive_buffer) set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, options.receive_buffer);
    if (options.send_buffer) set_option(fd.get(), SOL_SOCKET, SO_SNDBUF, options.send_buffer);
    if (options.no_delay) set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    if (!options.source.empty()) {
        const Address source = Address::parse(options.source);
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
        if (source.port() == 0) set_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        if (::bind(fd.get(), source.data(), source.size()) != 0) return std::unexpected(errno);
    }
    if (::connect(fd.get(), to.data(), to.size()) != 0) {
        if (errno != EINPROGRESS) return std::unexpected(errno);
        if (!wait_ready(fd.get(), POLLOUT, Clock::now() + scaled(limit)))
            return std::unexpected(ETIMEDOUT);
        int error = 0;
        socklen_t length = sizeof error;
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
        if (error != 0 && error != ECONNRESET) return std::unexpected(error);
        Socket connected(std::move(fd));
        connected.error_ = error;
        return connected;
    }
    return Socket(std::move(fd));
}

std::ptrdiff_t Socket::try_send(std::span<const std::byte> bytes) {
    if (error_) return -error_;
    const auto n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno == EAGAIN || errno == EINTR) return -EAGAIN;
    error_ = errno;
    return -error_;
}

std::ptrdiff_t Socket::try_receive(std::span<std::byte> into) {
    const auto n = ::recv(fd_.get(), into.data(), into.size(), 0);
    if (n > 0) return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return -EAGAIN;
    if (n < 0 && !error_) error_ = errno;
    return -error_;
}

bool Socket::send(std::span<const std::byte> bytes, milliseconds limit) {
    const auto until = Clock::now() + scaled(limit);
    while (!bytes.empty()) {
        const auto n = try_send(bytes);
        if (n >= 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        } else if (n != -EAGAIN || !wait_ready(fd_.get(), POLLOUT, until)) {
            return false;
        }
    }
    return true;
}

bool Socket::send(std::string_view text, milliseconds limit) {
    return send(std::as_bytes(std::span(text)), limit);
}

std::ptrdiff_t Socket::receive(std::span<std::byte> into, milliseconds limit) {
    const auto until = Clock::now() + scaled(limit);
    for (;;) {
        const auto n = try_receive(into);
        if (n != -EAGAIN) return n;
        if (!wait_ready(fd_.get(), POLLIN, until)) return -ETIMEDOUT;
    }
}

std::string Socket::receive_text(std::size_t count, milliseconds limit) {
    std::string text(count, '\0');
    std::size_t done = 0;
    const auto start = Clock::now();
    while (done < count) {
        const auto left = limit - since(start) / time_scale;
        if (left <= 0ms) break;
        const auto n = receive(std::as_writable_bytes(std::span(text)).subspan(done), left);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
    }
    text.resize(done);
    return text;
}

End Socket::wait_end(milliseconds limit, std::uint64_t* discarded) {
    std::array<std::byte, 65536> buffer;
    const auto start = Clock::now();
    for (;;) {
        const auto left = limit - since(start) / time_scale;
        const auto n = receive(buffer, std::max(left, 0ms));
        if (n > 0 && discarded) *discarded += static_cast<std::uint64_t>(n);
        if (n <= 0) return end_of(n);
    }
}

void Socket::finish() { ::shutdown(fd_.get(), SHUT_WR); }

void Socket::reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_.close();
}

UniqueFd listen_on(const Address& at, int backlog) {
    UniqueFd fd(::socket(at.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) throw std::system_error(errno, std::generic_category(), "socket");
    if (!at.is_unix()) set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (::bind(fd.get(), at.data(), at.size()) != 0)
        throw std::system_error(errno, std::generic_category(), "bind " + at.text());
    if (::listen(fd.get(), backlog) != 0)
        throw std::system_error(errno, std::generic_category(), "listen " + at.text());
    return fd;
}

ClosedPort::ClosedPort() : holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Address any = Address::parse("127.0.0.1:0");
    if (!holder || ::bind(holder.get(), any.data(), any.size()) != 0)
        throw std::system_error(errno, std::generic_category(), "bind a closed port");
    address = Address::local_of(holder.get());
}

}  // namespace penstock::test
