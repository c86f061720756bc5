#include "app/tls/secret_file.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/secret.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds patience{5};  // with the writer of a FIFO
constexpr std::size_t most_bytes = 64 * 1024;

bool wait_until_readable(int fd, Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry{fd, POLLIN, 0};
    return left > 0 && ::poll(&entry, 1, static_cast<int>(left)) > 0;
}

// Opened without waiting; a FIFO without a writer says "end" until one has come.
std::expected<std::string, std::string> read_all(int fd, bool is_fifo) {
    const auto wait = [fd, deadline = Clock::now() + patience] {
        return wait_until_readable(fd, deadline);
    };
    auto text = is_fifo ? read_to_end(fd, most_bytes, wait) : read_to_end(fd, most_bytes);
    if (text) return *std::move(text);
    if (text.error() == ETIMEDOUT)
        return std::unexpected(std::string("nobody has written to this FIFO within 5 s"));
    if (text.error() == EFBIG) return std::unexpected(std::string("is too large"));
    return std::unexpected("cannot be read: " + std::string(errno_name(text.error())));
}

// Made in their places: short strings leave their bytes where they are moved from.
std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    lines.reserve(static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1);
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        const bool with_cr = end > start && text[end - 1] == '\r';
        const std::size_t size = end - start - (with_cr ? 1 : 0);
        if (size > 0) lines.emplace_back(text, start, size);
        start = end + 1;
    }
    return lines;
}

}  // namespace

std::expected<std::vector<std::string>, std::string> read_passwords(const std::string& path) {
    const auto fail = [&](const std::string& problem) {
        return std::unexpected(fmt::format("password file {}: {}", path, problem));
    };
    const net::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat info{};
    if (!fd || ::fstat(fd.get(), &info) != 0)
        return fail("cannot be opened: " + std::string(errno_name(errno)));
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
        return fail("is neither a file nor a FIFO");
    auto text = read_all(fd.get(), S_ISFIFO(info.st_mode));
    if (!text) return fail(text.error());
    auto lines = lines_of(*text);
    wipe(*text);
    if (lines.empty()) return fail("has no password in it");
    return lines;
}

bool is_exposed(const std::string& path) noexcept {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && is_exposed(info);
}

bool is_exposed(const struct stat& info) noexcept {
    // What root owns and hands to a group of its own is how a process that is not root gets a
    // secret at all: `fsGroup` of Kubernetes, `root:penstock` with mode 0640.
    const bool handed = info.st_uid == 0 && info.st_gid != 0;
    return (info.st_mode & (handed ? S_IROTH : S_IRGRP | S_IROTH)) != 0;
}

}  // namespace penstock::app
