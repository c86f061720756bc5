#include "net/logger.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <fmt/chrono.h>
#include <spdlog/async.h>
#include <spdlog/details/file_helper.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace penstock::net {

namespace {

constexpr std::size_t queue_length = 8192;  // messages

spdlog::level::level_enum to_spdlog(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::error: return spdlog::level::err;
        case LogLevel::warn: return spdlog::level::warn;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::debug: return spdlog::level::debug;
    }
    std::unreachable();
}

std::string_view level_name(spdlog::level::level_enum level) noexcept {
    switch (level) {
        case spdlog::level::err: return "error";
        case spdlog::level::warn: return "warn";
        case spdlog::level::debug: return "debug";
        default: return "info";
    }
}

// RFC 3339 in UTC with milliseconds: independent of TZ and locale.
void append_time(spdlog::memory_buf_t& out, std::chrono::system_clock::time_point time) {
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(time);
    const auto s = std::chrono::floor<std::chrono::seconds>(ms);
    fmt::format_to(std::back_inserter(out), "{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                   fmt::gmtime(std::chrono::system_clock::to_time_t(s)), (ms - s).count());
}

class TextFormatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
        append_time(out, message.time);
        fmt::format_to(std::back_inserter(out), " {:<5} ", level_name(message.level));
        for (const char c : message.payload) {
            if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f)
                fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
            else
                out.push_back(c);
        }
        out.push_back('\n');
    }
    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<TextFormatter>();
    }
};

class JsonFormatter final : public spdlog::formatter {
public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
        out.append(std::string_view(R"({"time":")"));
        append_time(out, message.time);
        fmt::format_to(std::back_inserter(out), R"(","level":"{}","message":{}}})",
                       level_name(message.level),
                       boost::json::serialize(boost::json::string(
                           std::string_view(message.payload.data(), message.payload.size()))));
        out.push_back('\n');
    }
    [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<JsonFormatter>();
    }
};

class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit FileSink(const std::string& path) { file_.open(path); }
    void reopen() {
        const std::lock_guard lock(mutex_);
        file_.reopen(false);
    }

private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        file_.write(line);
        file_.flush();
    }
    void flush_() override { file_.flush(); }

    spdlog::details::file_helper file_;
};

class SpdlogLog final : public ProcessLog {
public:
    SpdlogLog(const LoggerOptions& options, spdlog::sink_ptr sink, std::shared_ptr<FileSink> file)
        : file_(std::move(file)),
          pool_(std::make_shared<spdlog::details::thread_pool>(queue_length, 1)),
          logger_(std::make_shared<spdlog::async_logger>(
              "penstock", std::move(sink), pool_, spdlog::async_overflow_policy::overrun_oldest)),
          level_(options.level) {
        if (options.json)
            logger_->set_formatter(std::make_unique<JsonFormatter>());
        else
            logger_->set_formatter(std::make_unique<TextFormatter>());
        logger_->set_level(to_spdlog(level_));
        // A full disk or a dead pipe must not stop the program; the loss is counted.
        logger_->set_error_handler(
            [this](const std::string&) { failed_.fetch_add(1, std::memory_order_relaxed); });
    }

    // Joins the pool's thread before the logger goes, which that thread may still hold.
    ~SpdlogLog() override { pool_.reset(); }

    [[nodiscard]] bool enabled(LogLevel level) const noexcept override { return level <= level_; }
    void write(LogLevel level, std::string_view message) override {
        logger_->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
    }
    void reopen() override {
        if (!file_) return;
        logger_->flush();
        try {
            file_->reopen();
        } catch (const spdlog::spdlog_ex& e) {
            error("cannot reopen the log: {}", e.what());
        }
    }
    [[nodiscard]] std::uint64_t dropped() const noexcept override {
        return pool_->overrun_counter() + failed_.load(std::memory_order_relaxed);
    }

private:
    std::shared_ptr<FileSink> file_;
    std::atomic<std::uint64_t> failed_{0};
    std::shared_ptr<spdlog::details::thread_pool> pool_;
    std::shared_ptr<spdlog::async_logger> logger_;
    LogLevel level_;
};

}  // namespace

std::expected<std::unique_ptr<ProcessLog>, std::string> ProcessLog::open(
    const LoggerOptions& options) {
    try {
        std::shared_ptr<FileSink> file;
        spdlog::sink_ptr sink;
        if (options.target == "stderr")
            sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        else if (options.target == "stdout")
            sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
        else
            sink = file = std::make_shared<FileSink>(options.target);
        return std::make_unique<SpdlogLog>(options, std::move(sink), std::move(file));
    } catch (const spdlog::spdlog_ex& e) {
        return std::unexpected(std::string(e.what()));
    }
}

}  // namespace penstock::net
