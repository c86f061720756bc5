#include "proxy/access_log/writer.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <pthread.h>

namespace penstock::proxy {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds patience{1000};
constexpr milliseconds patience_while_stopping{50};  // until the first time-out, then none

std::uint32_t count_lines(std::string_view text) {
    return static_cast<std::uint32_t>(std::ranges::count(text, '\n'));
}

}  // namespace

void ChunkReturn::put(LogChunk* chunk) noexcept {
    chunk->size = 0;
    chunk->lines = 0;
    LogChunk* head = head_.load(std::memory_order_relaxed);
    do chunk->next = head;
    while (!head_.compare_exchange_weak(head, chunk, std::memory_order_release,
                                        std::memory_order_relaxed));
}

LogWriter::LogWriter(std::unique_ptr<LogSink> sink, Logger& log)
    : sink_(std::move(sink)), log_(log), thread_([this] { run(); }) {}

LogWriter::~LogWriter() { finish(); }

bool LogWriter::finish(TimePoint deadline) {
    if (!thread_.joinable()) return true;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_up_.notify_one();
    const std::chrono::steady_clock::time_point until(deadline.time_since_epoch());
    if (deadline != no_deadline && end_.wait_until(until) != std::future_status::ready)
        return false;
    thread_.join();
    sink_.reset();  // a disk may take its time for this, too
    return true;
}

void LogWriter::submit(LogChunk* chunk) {
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(chunk);
    }
    wake_up_.notify_one();
}

void LogWriter::reopen() { submit(nullptr); }

void LogWriter::run() {
    ::pthread_setname_np(::pthread_self(), "access-log");  // for who asks why a disk is busy
    ended_.set_value_at_thread_exit();
    std::vector<LogChunk*> batch;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            wake_up_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            batch.swap(queue_);
        }
        for (LogChunk* chunk : batch) {
            if (chunk != nullptr) {
                write(*chunk);
                chunk->owner->put(chunk);
            } else if (const auto error = sink_->reopen()) {
                log_.error("cannot reopen the access log {}: {}; the old file stays in use",
                           sink_->target(), error.message());
            }
        }
        batch.clear();
    }
}

void LogWriter::write(LogChunk& chunk) {
    const std::string_view lines(chunk.data.data(), chunk.size);
    bool stopping;
    {
        const std::lock_guard lock(mutex_);
        stopping = stopping_;
    }
    const auto wait = !stopping ? patience : failing_ ? milliseconds(0) : patience_while_stopping;
    const auto result = sink_->write(lines, wait);
    const std::uint32_t written =
        result.bytes == lines.size() ? chunk.lines : count_lines(lines.substr(0, result.bytes));
    written_ += written;
    lost_ += chunk.lines - written;
    // Told once when it begins and once when it ends: a full disk must not fill the other log.
    if (result.error && !std::exchange(failing_, true))
        log_.error("access log {}: {}; lines are lost until it can be written again",
                   sink_->target(), result.error.message());
    else if (!result.error && std::exchange(failing_, false))
        log_.warn("access log {}: written again; {} lines were lost", sink_->target(),
                  lost_.load());
}

}  // namespace penstock::proxy
