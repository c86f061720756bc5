#include "config/readable_file.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace penstock::config {

namespace {

std::string describe_type(mode_t mode) {
    if (S_ISDIR(mode)) return "is a directory, not a file";
    if (S_ISFIFO(mode)) return "is a FIFO, not a file";
    return "is not a regular file";
}

}  // namespace

std::expected<ReadableFile, std::string> ReadableFile::open(const std::string& path, Fifo fifo) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    ReadableFile file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.fd_ < 0 || ::fstat(file.fd_, &file.status_) != 0)
        return std::unexpected(describe_read_error(errno));
    const mode_t mode = file.status_.st_mode;
    if (S_ISFIFO(mode) && fifo == Fifo::allowed) return file;
    if (!S_ISREG(mode)) return std::unexpected(describe_type(mode));
    if ((mode & S_IWOTH) != 0)
        return std::unexpected(
            "can be written by every user of this machine; take that away: "
            "chmod o-w");
    return file;
}

ReadableFile::~ReadableFile() {
    if (fd_ >= 0) ::close(fd_);
}

std::string describe_read_error(int error) {
    if (error == ENOENT) return "there is no such file";
    const auto reason = std::error_code(error, std::generic_category()).message();
    if (error == EACCES)
        return fmt::format(
            "cannot be read: {}; user {} needs read permission for the file and "
            "search permission for its directories",
            reason, ::geteuid());
    return fmt::format("cannot be read: {}", reason);
}

}  // namespace penstock::config
