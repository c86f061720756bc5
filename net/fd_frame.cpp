#include "net/fd_frame.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <sys/socket.h>

#include "base/error.hpp"
#include "base/secret.hpp"

namespace penstock::net {

namespace {

using Kind = FdChannelError::Kind;

constexpr std::size_t fds_per_carrier = 253;  // SCM_MAX_FD of the kernel
constexpr std::uint64_t mark = 0x6b636f74736e6550;  // "Penstock", on little-endian machines

struct Header {
    std::uint64_t mark = 0;
    std::uint64_t bytes = 0;
    std::uint64_t fds = 0;
};

constexpr std::size_t carriers_of(std::size_t fds) {
    return (fds + fds_per_carrier - 1) / fds_per_carrier;
}

// Room for the descriptors of one message, aligned as the kernel writes it.
union ControlBuffer {
    char bytes[CMSG_SPACE(fds_per_carrier * sizeof(int))];
    cmsghdr align;
};

std::unexpected<FdChannelError> malformed(std::string text) {
    return std::unexpected(FdChannelError{Kind::malformed, std::move(text)});
}

FdChannelError ended() { return {Kind::ended, "the other process has ended"}; }

std::unexpected<FdChannelError> failed(int error, std::string_view doing) {
    if (error == EPIPE || error == ECONNRESET) return std::unexpected(ended());
    std::string advice;
    if (error == ETOOMANYREFS) advice = "; raise the limit of open descriptors (LimitNOFILE)";
    return std::unexpected(FdChannelError{
        Kind::failed,
        fmt::format("{}: {}{}", doing, std::error_code(error, std::generic_category()).message(),
                    advice)});
}

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// All descriptors that came with a message are ours from here on, wanted or not.
void adopt_fds(msghdr& message, std::vector<UniqueFd>& into) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            into.emplace_back(fd);
        }
    }
}

void attach_fds(msghdr& message, ControlBuffer& buffer, const int* fds, std::size_t count) {
    message.msg_control = buffer.bytes;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds, count * sizeof(int));
}

// A string that grows leaves its old bytes in freed memory.
void append_wiping(std::string& to, std::string_view more) {
    if (to.capacity() < to.size() + more.size()) {
        std::string larger;
        larger.reserve(std::max(2 * to.capacity(), to.size() + more.size()));
        larger.append(to);
        to.swap(larger);
        penstock::wipe(larger.data(), larger.size());
    }
    to.append(more);
}

}  // namespace

FdFrameWriter::FdFrameWriter(std::string_view bytes, const std::vector<int>& fds) : fds_(fds) {
    const Header header{mark, bytes.size(), fds.size()};
    data_.reserve(sizeof header + carriers_of(fds.size()) + bytes.size());
    data_.append(reinterpret_cast<const char*>(&header), sizeof header);
    data_.append(carriers_of(fds.size()), '\0');
    data_.append(bytes);
}

FdFrameWriter::~FdFrameWriter() { penstock::wipe(data_.data(), data_.size()); }

std::expected<bool, FdChannelError> FdFrameWriter::step(int socket) {
    const std::size_t first_byte = sizeof(Header) + carriers_of(fds_.size());
    while (sent_ < data_.size()) {
        iovec part{data_.data() + sent_, data_.size() - sent_};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        ControlBuffer control{};
        if (sent_ < sizeof(Header)) {
            part.iov_len = sizeof(Header) - sent_;
        } else if (sent_ < first_byte) {
            const std::size_t from = (sent_ - sizeof(Header)) * fds_per_carrier;
            part.iov_len = 1;
            attach_fds(message, control, fds_.data() + from,
                       std::min(fds_per_carrier, fds_.size() - from));
        }
        const auto n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent_ += static_cast<std::size_t>(n);
            continue;
        }
        if (errno == EINTR) continue;
        if (would_block(errno)) return false;
        return failed(errno, "cannot send to the other process");
    }
    return true;
}

std::expected<bool, FdChannelError> FdFrameReader::step(int socket) {
    if (header_.size() < sizeof(Header)) {
        if (auto complete = read_header(socket); !complete || !*complete) return complete;
        if (auto good = check_header(); !good) return std::unexpected(std::move(good.error()));
    }
    return read_rest(socket);
}

// One recvmsg(): 0 = has to wait. An end of the stream is an error.
std::expected<std::size_t, FdChannelError> FdFrameReader::receive(int socket, char* into,
                                                                  std::size_t size) {
    ControlBuffer control;
    iovec part{into, size};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    ssize_t n = 0;
    do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && would_block(errno)) return std::size_t{0};
    if (n < 0 && errno == ECONNRESET) return std::unexpected(end_of_stream());
    if (n < 0) return failed(errno, "cannot receive from the other process");
    adopt_fds(message, message_.fds);
    if (n == 0) return std::unexpected(end_of_stream());
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        return std::unexpected(
            FdChannelError{Kind::failed,
                           "not all descriptors of a message could be taken: this process may not "
                           "have so many; raise the limit of open descriptors (LimitNOFILE)"});
    return static_cast<std::size_t>(n);
}

FdChannelError FdFrameReader::end_of_stream() const {
    if (header_.empty()) return ended();
    return {Kind::malformed, "the other process has ended in the middle of a message"};
}

std::expected<bool, FdChannelError> FdFrameReader::read_header(int socket) {
    while (header_.size() < sizeof(Header)) {
        char room[sizeof(Header)];
        auto n = receive(socket, room, sizeof(Header) - header_.size());
        if (!n) return std::unexpected(std::move(n.error()));
        if (*n == 0) return false;
        header_.append(room, *n);
    }
    return true;
}

std::expected<void, FdChannelError> FdFrameReader::check_header() {
    Header header;
    std::memcpy(&header, header_.data(), sizeof header);
    if (header.mark != mark || !message_.fds.empty())
        return malformed("what came is no message of Penstock");
    if (header.bytes > limits_.bytes)
        return malformed(fmt::format("a message of {} bytes is too long; at most {} are accepted",
                                     header.bytes, limits_.bytes));
    if (header.fds > limits_.fds)
        return malformed(fmt::format("a message with {} descriptors; at most {} are accepted",
                                     header.fds, limits_.fds));
    expected_bytes_ = header.bytes;
    expected_fds_ = header.fds;
    carriers_ = carriers_of(header.fds);
    return {};
}

// Memory follows what has come, not what was announced.
std::expected<bool, FdChannelError> FdFrameReader::read_rest(int socket) {
    while (carriers_ > 0 || message_.bytes.size() < expected_bytes_) {
        char room[16 * 1024];
        const std::size_t wanted =
            carriers_ > 0 ? 1 : std::min(sizeof room, expected_bytes_ - message_.bytes.size());
        auto n = receive(socket, room, wanted);
        if (!n) return std::unexpected(std::move(n.error()));
        if (*n == 0) return false;
        if (carriers_ > 0)
            --carriers_;
        else
            append_wiping(message_.bytes, {room, *n});
        if (message_.fds.size() > expected_fds_)
            return malformed("a message with more descriptors than it had announced");
    }
    if (message_.fds.size() != expected_fds_)
        return malformed("a message with fewer descriptors than it had announced");
    return true;
}

FdMessage FdFrameReader::take() {
    header_.clear();
    return std::exchange(message_, FdMessage{});
}

}  // namespace penstock::net
