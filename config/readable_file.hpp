#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

#include <sys/stat.h>

namespace penstock::config {

/// Whether what is read may be a FIFO.
enum class Fifo : std::uint8_t { refused, allowed };

/// A file that the configuration names, open for reading. Whatever is asked of it is asked of what
/// was opened: nobody can exchange it in between.
class ReadableFile {
public:
    /// Never waits for the writer of a FIFO. The error is a sentence without the name of the file;
    /// it covers what is no regular file, and a regular one that every user may write.
    [[nodiscard]] static std::expected<ReadableFile, std::string> open(const std::string& path,
                                                                       Fifo fifo = Fifo::refused);
    ReadableFile(ReadableFile&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), status_(other.status_) {}
    ReadableFile& operator=(ReadableFile&&) = delete;
    ~ReadableFile();

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] const struct stat& status() const noexcept { return status_; }

private:
    explicit ReadableFile(int fd) noexcept : fd_(fd) {}

    int fd_;
    struct stat status_{};
};

/// Why a file could not be opened or read, as such a sentence.
[[nodiscard]] std::string describe_read_error(int error);

}  // namespace penstock::config
