#include "config/source.hpp"

#include <cerrno>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.hpp"
#include "config/readable_file.hpp"

namespace penstock::config {

namespace {

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
    const auto file = ReadableFile::open(path);
    if (!file) return std::unexpected(file.error());
    return read_stream(file->fd());
}

std::expected<std::string, std::string> read_stream(int fd) {
    auto text = read_to_end(fd, max_source_size);
    if (text) return *std::move(text);
    return std::unexpected(text.error() == EFBIG ? too_large() : describe_read_error(text.error()));
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

}  // namespace penstock::config
