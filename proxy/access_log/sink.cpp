#include "proxy/access_log/sink.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/log_file.hpp"

namespace penstock::proxy {

namespace {

// poll() calls a pipe writable when this much fits (PIPE_BUF), and a write of it is not split.
constexpr std::size_t pipe_piece = 4096;

}  // namespace

std::expected<std::unique_ptr<LogSink>, std::string> LogSink::open(std::string target) {
    std::unique_ptr<LogSink> sink(new LogSink(std::move(target)));
    if (const auto error = sink->open_target(); error && error.value() != ENXIO)
        return std::unexpected(
            fmt::format("cannot open the access log {}: {}; check the directory "
                        "and its permissions",
                        sink->target_, error.message()));
    return sink;
}

std::error_code LogSink::open_target() {
    if (target_ != "stdout") net::create_log_file(target_);
    net::UniqueFd fd(target_ == "stdout"
                         ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                         : ::open(target_.c_str(),
                                  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                                  0640));
    if (!fd) return last_error();
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return last_error();
    regular_ = S_ISREG(status.st_mode);
    fd_ = std::move(fd);
    return {};
}

std::error_code LogSink::reopen() { return open_target(); }

LogSink::Written LogSink::write(std::string_view lines, std::chrono::milliseconds patience) {
    if (!fd_)
        if (const auto error = open_target()) return {0, error};
    Written result;
    while (result.bytes < lines.size() && !result.error) {
        auto piece = lines.substr(result.bytes);
        if (!regular_ && piece.size() > pipe_piece) {
            const auto newline = piece.rfind('\n', pipe_piece - 1);
            piece = piece.substr(0, newline == std::string_view::npos ? pipe_piece : newline + 1);
        }
        result.error = write_piece(piece, patience, result.bytes);
    }
    if (result.error) result.bytes = drop_partial_line(lines, result.bytes);
    return result;
}

std::error_code LogSink::write_piece(std::string_view piece, std::chrono::milliseconds patience,
                                     std::size_t& written) {
    if (!regular_) {
        pollfd wait{fd_.get(), POLLOUT, 0};
        if (::poll(&wait, 1, static_cast<int>(patience.count())) == 0)
            return std::make_error_code(std::errc::timed_out);
    }
    const auto n = ::write(fd_.get(), piece.data(), piece.size());
    if (n >= 0) {
        written += static_cast<std::size_t>(n);
        return {};
    }
    if (errno == EINTR) return {};
    const auto error = last_error();
    if (error.value() == EPIPE && target_ != "stdout") fd_.reset();  // a FIFO's reader may return
    return error;
}

// Takes back the part of a line that a full disk let through; returns the bytes of whole lines.
std::size_t LogSink::drop_partial_line(std::string_view lines, std::size_t written) {
    if (written == 0 || lines[written - 1] == '\n') return written;
    const auto newline = lines.rfind('\n', written - 1);
    const std::size_t whole = newline == std::string_view::npos ? 0 : newline + 1;
    if (regular_) {
        const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
        const auto partial = static_cast<off_t>(written - whole);
        if (end >= partial && ::ftruncate(fd_.get(), end - partial) != 0) {
            // The fragment stays; the next line must not be glued to it.
            [[maybe_unused]] const auto n = ::write(fd_.get(), "\n", 1);
        }
    }
    return whole;
}

}  // namespace penstock::proxy
