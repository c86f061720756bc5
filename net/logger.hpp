#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "base/log.hpp"

namespace penstock::net {

struct LoggerOptions {
    LogLevel level = LogLevel::info;
    bool json = false;
    std::string target = "stderr";  // stderr | stdout | a file path
};

/// The process log: asynchronous and bounded. When the sink is slower than the writers, the oldest
/// lines give way and are counted. Every method may be called from any thread.
class ProcessLog : public Logger {
public:
    /// The error says why the file cannot be opened.
    [[nodiscard]] static std::expected<std::unique_ptr<ProcessLog>, std::string> open(
        const LoggerOptions& options);

    /// Opens the file anew (log rotation), or keeps the old one where that cannot be, and logs it;
    /// nothing for standard streams. Lines that still wait go to the file of then.
    virtual void reopen() = 0;
    /// Opens what other options need. The returned function puts them in force, and cannot fail;
    /// without its call nothing changes. The error says why the file cannot be opened.
    [[nodiscard]] virtual std::expected<std::function<void()>, std::string> prepare(
        const LoggerOptions& options) = 0;
    /// Lines lost because the queue was full.
    [[nodiscard]] virtual std::uint64_t dropped() const noexcept = 0;
};

}  // namespace penstock::net
