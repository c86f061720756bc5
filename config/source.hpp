#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

/// A file of the configuration, read completely.
class Source {
public:
    /// `name` is shown in messages; relative paths in the text start at `directory`.
    Source(std::string name, std::string directory, std::string text);

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    /// Line `number` from 1, without its end (LF or CRLF); empty beyond the last.
    [[nodiscard]] std::string_view line(std::uint32_t number) const noexcept;
    /// Offset of the first byte of line `number`; 0 for line 0.
    [[nodiscard]] std::size_t line_start(std::uint32_t number) const noexcept;

private:
    std::string name_;
    std::string directory_;
    std::string text_;
    std::vector<std::size_t> line_starts_;
};

/// Where something stands: lines and columns from 1, counted in characters.
struct Region {
    std::uint32_t file = 0;    // index into the list of sources
    std::uint32_t line = 0;    // 0 = the file as a whole
    std::uint32_t column = 0;
    std::uint32_t length = 0;  // characters, up to the end of the line at most
};

/// Larger files are refused: no configuration or list is that long, an image or a log by mistake
/// is.
inline constexpr std::size_t max_source_size = 16U << 20U;

/// Reads a regular file. The error is a sentence without the name of the file; it covers what is
/// no regular file (never waits for the writer of a FIFO), what others may write, and sizes.
[[nodiscard]] std::expected<std::string, std::string> read_source(const std::string& path);

/// Reads a descriptor to its end, however long its writer takes; it stays open. Only for what
/// whoever starts the program has given it: standard input, a pipe of the shell.
[[nodiscard]] std::expected<std::string, std::string> read_stream(int fd);

/// The descriptor that `path` means if that is a pipe: `/dev/stdin`, `/dev/fd/63`, as shells name
/// what
/// `<(...)` writes. Anything else is read by read_source().
[[nodiscard]] std::optional<int> piped_descriptor(const std::string& path);

}  // namespace penstock::config
