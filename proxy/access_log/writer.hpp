#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "proxy/access_log/sink.hpp"

namespace penstock::proxy {

class ChunkReturn;

/// Whole lines of one worker, on their way to the disk.
struct LogChunk {
    static constexpr std::size_t capacity = 64 * 1024;
    explicit LogChunk(ChunkReturn& home) noexcept : owner(&home) {}

    std::array<char, capacity> data;
    std::size_t size = 0;
    std::uint32_t lines = 0;
    ChunkReturn* owner;
    LogChunk* next = nullptr;
};

/// Where the writer puts written chunks, and their worker finds them: a lock-free stack.
class ChunkReturn {
public:
    /// Any thread.
    void put(LogChunk* chunk) noexcept;
    /// The owner's thread: all that came back, linked by `next`.
    [[nodiscard]] LogChunk* take_all() noexcept { return head_.exchange(nullptr); }

private:
    std::atomic<LogChunk*> head_{nullptr};
};

/// The thread that writes the access log. Workers never wait for it: they hand over full chunks and
/// drop lines (counted) while they have none left.
class LogWriter {
public:
    /// `sink` is used on the writer's thread only. `log` must outlive the writer.
    LogWriter(std::unique_ptr<LogSink> sink, Logger& log);
    ~LogWriter();
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    /// Any thread. The chunk goes back to its owner when it was written or given up.
    void submit(LogChunk* chunk);
    /// Any thread: after what was submitted so far, closes and opens the file again.
    void reopen();
    /// Writes what was submitted and ends the thread. A stuck sink is not waited for: what it does
    /// not take at once is lost and counted. Nothing may be submitted afterwards. One thread at a
    /// time. False: at the deadline the thread is still there, in a disk that hangs; it has to be
    /// called again, or the process ended without destroying this.
    bool finish(TimePoint deadline = no_deadline);

    /// Any thread.
    [[nodiscard]] std::uint64_t lines_written() const noexcept { return written_.load(); }
    [[nodiscard]] std::uint64_t lines_lost() const noexcept { return lost_.load(); }

private:
    void run();
    void write(LogChunk& chunk);

    std::unique_ptr<LogSink> sink_;
    Logger& log_;
    std::mutex mutex_;
    std::condition_variable wake_up_;
    std::vector<LogChunk*> queue_;  // nullptr = reopen
    bool stopping_ = false;
    bool failing_ = false;
    std::atomic<std::uint64_t> written_{0};
    std::atomic<std::uint64_t> lost_{0};
    std::promise<void> ended_;
    std::future<void> end_ = ended_.get_future();
    std::thread thread_;
};

}  // namespace penstock::proxy
