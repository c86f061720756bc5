#include "app/tls/secret_file.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "net/tls/options.hpp"
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
    const auto deadline = Clock::now() + patience;
    std::string text;
    std::array<char, 4096> buffer;
    for (;;) {
        if (is_fifo && !wait_until_readable(fd, deadline))
            return std::unexpected(std::string("nobody has written to this FIFO within 5 s"));
        const ssize_t n = ::read(fd, buffer.data(), buffer.size());
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return std::unexpected("cannot be read: " + std::string(errno_name(errno)));
        if (n == 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(n));
        if (text.size() > most_bytes) return std::unexpected(std::string("is too large"));
    }
    return text;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (std::size_t start = 0; start < text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        std::string line = text.substr(start, end - start);
        if (line.ends_with('\r')) line.pop_back();
        if (!line.empty()) lines.push_back(std::move(line));
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
    net::tls::wipe(*text);
    if (lines.empty()) return fail("has no password in it");
    return lines;
}

}  // namespace penstock::app
