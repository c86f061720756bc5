#include "config/source.hpp"

#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.hpp"

namespace penstock::config {

namespace {

class FileDescriptor {
public:
    explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    ~FileDescriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

std::string describe_open_error(int error) {
    if (error == ENOENT) return "there is no such file";
    const auto reason = std::error_code(error, std::generic_category()).message();
    if (error == EACCES)
        return fmt::format(
            "cannot be read: {}; user {} needs read permission for the file and "
            "search permission for its directories",
            reason, ::geteuid());
    return fmt::format("cannot be read: {}", reason);
}

std::string describe_type(mode_t mode) {
    if (S_ISDIR(mode)) return "is a directory, not a file";
    if (S_ISFIFO(mode)) return "is a FIFO, not a file";
    return "is not a regular file";
}

std::string too_large() { return fmt::format("is larger than {} MiB", max_source_size >> 20U); }

}  // namespace

Source::Source(std::string name, std::string directory, std::string text)
    : name_(std::move(name)), directory_(std::move(directory)), text_(std::move(text)) {
    line_starts_.push_back(0);
    for (std::size_t i = 0; i < text_.size(); ++i)
        if (text_[i] == '\n') line_starts_.push_back(i + 1);
}

std::string_view Source::line(std::uint32_t number) const noexcept {
    if (number == 0 || number > line_starts_.size()) return {};
    const auto begin = line_starts_[number - 1];
    const auto end = number < line_starts_.size() ? line_starts_[number] - 1 : text_.size();
    auto line = std::string_view(text_).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    return line;
}

std::size_t Source::line_start(std::uint32_t number) const noexcept {
    if (number == 0) return 0;
    return number <= line_starts_.size() ? line_starts_[number - 1] : text_.size();
}

std::expected<std::string, std::string> read_source(const std::string& path) {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.get() < 0) return std::unexpected(describe_open_error(errno));
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) return std::unexpected(describe_open_error(errno));
    if (!S_ISREG(status.st_mode)) return std::unexpected(describe_type(status.st_mode));
    if ((status.st_mode & S_IWOTH) != 0)
        return std::unexpected(
            "can be written by every user of this machine; take that away: "
            "chmod o-w");
    return read_stream(file.get());
}

std::expected<std::string, std::string> read_stream(int fd) {
    auto text = read_to_end(fd, max_source_size);
    if (text) return *std::move(text);
    return std::unexpected(text.error() == EFBIG ? too_large() : describe_open_error(text.error()));
}

std::optional<int> piped_descriptor(const std::string& path) {
    constexpr std::string_view directory = "/dev/fd/";
    int fd = STDIN_FILENO;
    if (path.starts_with(directory)) {
        const auto* end = path.data() + path.size();
        const auto [rest, error] = std::from_chars(path.data() + directory.size(), end, fd);
        if (error != std::errc{} || rest != end || fd < 0) return std::nullopt;
    } else if (path != "/dev/stdin") {
        return std::nullopt;
    }
    struct stat status{};
    if (::fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) return std::nullopt;
    return fd;
}

bool is_readable_by_others(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0;
}

}  // namespace penstock::config
