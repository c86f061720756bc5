#include "net/logger.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <fmt/chrono.h>
#include <spdlog/async.h>
#include <spdlog/details/file_helper.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <fcntl.h>

#include "net/log_file.hpp"

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

spdlog::file_event_handlers log_file_events() {
    spdlog::file_event_handlers events;
    events.before_open = [](const std::string& path) { create_log_file(path); };
    events.after_open = [](const std::string&, std::FILE* file) {
        ::fcntl(::fileno(file), F_SETFD, FD_CLOEXEC);
    };
    return events;
}

// spdlog would create what is missing: a slip of the pen would go unnoticed.
void require_directory_of(const std::string& path) {
    const auto directory = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (directory.empty() || std::filesystem::is_directory(directory, error)) return;
    throw spdlog::spdlog_ex(fmt::format("{}: there is no directory {}", path, directory.string()));
}

class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit FileSink(const std::string& path) : file_(open(path)) {}
    // The old file stays where this throws.
    void reopen() {
        auto file = open(file_->filename());
        const std::lock_guard lock(mutex_);
        file_.swap(file);
    }

private:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        file_->write(line);
        file_->flush();
    }
    void flush_() override { file_->flush(); }

    // spdlog's own reopen() closes first, and has no file when it then cannot open one.
    using File = std::unique_ptr<spdlog::details::file_helper>;
    static File open(const std::string& path) {
        require_directory_of(path);
        auto file = std::make_unique<spdlog::details::file_helper>(log_file_events());
        file->open(path);
        return file;
    }

    File file_;
};

// Where the lines go now.
class SwitchSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    void switch_to(spdlog::sink_ptr target) {
        const std::lock_guard lock(mutex_);
        target_ = std::move(target);
    }

private:
    void sink_it_(const spdlog::details::log_msg& message) override { target_->log(message); }
    void flush_() override { target_->flush(); }
    // The target has its own.
    void set_pattern_(const std::string&) override {}
    void set_formatter_(std::unique_ptr<spdlog::formatter>) override {}

    spdlog::sink_ptr target_;
};

struct Target {
    LogLevel level;
    spdlog::sink_ptr sink;
    std::shared_ptr<FileSink> file;  // null for standard streams
};

std::expected<Target, std::string> open_target(const LoggerOptions& options) {
    try {
        Target target{options.level, nullptr, nullptr};
        if (options.target == "stderr")
            target.sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
        else if (options.target == "stdout")
            target.sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
        else
            target.sink = target.file = std::make_shared<FileSink>(options.target);
        if (options.json)
            target.sink->set_formatter(std::make_unique<JsonFormatter>());
        else
            target.sink->set_formatter(std::make_unique<TextFormatter>());
        return target;
    } catch (const spdlog::spdlog_ex& e) {
        return std::unexpected(std::string(e.what()));
    }
}

// Those that somebody handles: they are for the thread that waits for them, which also ends that.
void leave_signals() {
    sigset_t handled;
    sigemptyset(&handled);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
        sigaddset(&handled, signal);
    ::pthread_sigmask(SIG_BLOCK, &handled, nullptr);
}

class SpdlogLog final : public ProcessLog {
public:
    explicit SpdlogLog(Target target)
        : sink_(std::make_shared<SwitchSink>()),
          pool_(std::make_shared<spdlog::details::thread_pool>(queue_length, 1, leave_signals)),
          logger_(std::make_shared<spdlog::async_logger>(
              "penstock", sink_, pool_, spdlog::async_overflow_policy::overrun_oldest)) {
        switch_to(std::move(target));
        logger_->set_level(spdlog::level::debug);  // enabled() decides
        // A full disk or a dead pipe must not stop the program; the loss is counted.
        logger_->set_error_handler(
            [this](const std::string&) { failed_.fetch_add(1, std::memory_order_relaxed); });
    }

    // Joins the pool's thread before the logger goes, which that thread may still hold.
    ~SpdlogLog() override { pool_.reset(); }
    void finish() override { pool_.reset(); }

    [[nodiscard]] bool enabled(LogLevel level) const noexcept override {
        return level <= level_.load(std::memory_order_relaxed);
    }
    void write(LogLevel level, std::string_view message) override {
        logger_->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
    }
    void reopen() override {
        const std::lock_guard lock(mutex_);
        if (!file_) return;
        try {
            file_->reopen();
        } catch (const spdlog::spdlog_ex& e) {
            error("cannot reopen the log: {}; the old file stays in use", e.what());
        }
    }
    [[nodiscard]] std::expected<std::function<void()>, std::string> prepare(
        const LoggerOptions& options) override {
        auto target = open_target(options);
        if (!target) return std::unexpected(target.error());
        return [this, opened = *std::move(target)] { switch_to(opened); };
    }
    [[nodiscard]] std::uint64_t dropped() const noexcept override {
        return pool_->overrun_counter() + failed_.load(std::memory_order_relaxed);
    }

private:
    void switch_to(Target target) {
        const std::lock_guard lock(mutex_);
        sink_->switch_to(std::move(target.sink));
        file_ = std::move(target.file);
        level_.store(target.level, std::memory_order_relaxed);
    }

    std::shared_ptr<SwitchSink> sink_;
    std::mutex mutex_;
    std::shared_ptr<FileSink> file_;  // guarded by the lock
    std::atomic<std::uint64_t> failed_{0};
    std::shared_ptr<spdlog::details::thread_pool> pool_;
    std::shared_ptr<spdlog::async_logger> logger_;
    std::atomic<LogLevel> level_{LogLevel::info};
};

}  // namespace

std::expected<std::unique_ptr<ProcessLog>, std::string> ProcessLog::open(
    const LoggerOptions& options) {
    auto target = open_target(options);
    if (!target) return std::unexpected(target.error());
    return std::make_unique<SpdlogLog>(*std::move(target));
}

}  // namespace penstock::net
