#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/close_reason.hpp"
#include "base/timing_wheel.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "proxy/access_log/format.hpp"
#include "proxy/access_log/writer.hpp"

namespace penstock::proxy {

/// Lets at most a hundred refusals of one kind a second through to the log. Pure.
class RefusalThrottle {
public:
    static constexpr std::uint32_t per_second = 100;

    [[nodiscard]] bool admit(CloseReason reason, TimePoint now) noexcept;

private:
    struct Window {
        TimePoint begins = TimePoint::min();
        std::uint32_t admitted = 0;
    };
    std::array<Window, close_reason_count> windows_{};
};

/// One worker's end of the access log: formats lines into chunks and passes them on when they are
/// full, or flush_interval after their first line. Never blocks. One owner thread.
class WorkerLog final : private Timer {
public:
    /// `writer` may be null: no access log. Everything must outlive the object.
    WorkerLog(LogWriter* writer, const config::AccessLog& settings, TimingWheel& wheel,
              metrics::WorkerCells& cells);
    /// After flush() and LogWriter::finish(): the writer holds none of its chunks any more.
    ~WorkerLog();

    [[nodiscard]] bool enabled() const noexcept { return writer_ != nullptr; }
    void write(const LogRecord& record, TimePoint now);
    void flush();
    /// From now on. What was written before goes to the writer of before.
    void configure(LogWriter* writer, const config::AccessLog& settings);

private:
    static constexpr std::size_t max_chunks = 16;

    void on_timer(TimePoint now) override;
    [[nodiscard]] bool wanted(const LogRecord& record, TimePoint now);
    LogChunk* chunk_with_room(std::size_t bytes);

    LogWriter* writer_;
    config::AccessLog settings_;
    TimingWheel& wheel_;
    metrics::WorkerCells& cells_;
    RefusalThrottle throttle_;
    LineBuffer line_;
    ChunkReturn returned_;
    std::vector<std::unique_ptr<LogChunk>> chunks_;
    LogChunk* free_ = nullptr;     // linked by next
    LogChunk* current_ = nullptr;  // being filled
};

}  // namespace penstock::proxy
