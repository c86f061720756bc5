#pragma once

#include <chrono>
#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "net/unique_fd.hpp"

namespace penstock::proxy {

/// A file, FIFO or standard output that takes whole lines. One owner thread; its calls may block on
/// a slow disk, but not on a pipe that nobody reads.
class LogSink {
public:
    /// The error says what to do. A FIFO without a reader is not one: it is tried again.
    [[nodiscard]] static std::expected<std::unique_ptr<LogSink>, std::string> open(
        std::string target);

    struct Written {
        std::size_t bytes = 0;  // whole lines only
        std::error_code error;
    };
    /// Writes lines (each ends in a newline), waiting at most `patience` for a pipe. After an error
    /// no part of a line is left in a regular file.
    Written write(std::string_view lines, std::chrono::milliseconds patience);

    /// Opens the file anew; on failure the old one stays in use.
    std::error_code reopen();
    [[nodiscard]] const std::string& target() const noexcept { return target_; }

private:
    explicit LogSink(std::string target) : target_(std::move(target)) {}
    std::error_code open_target();
    std::error_code write_piece(std::string_view piece, std::chrono::milliseconds patience,
                                std::size_t& written);
    std::size_t drop_partial_line(std::string_view lines, std::size_t written);

    std::string target_;
    net::UniqueFd fd_;
    bool regular_ = false;
};

}  // namespace penstock::proxy
