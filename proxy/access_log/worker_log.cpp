#include "proxy/access_log/worker_log.hpp"

#include <algorithm>
#include <utility>

namespace penstock::proxy {

bool RefusalThrottle::admit(CloseReason reason, TimePoint now) noexcept {
    Window& window = windows_[std::to_underlying(reason)];
    if (window.admitted == 0 || now - window.begins >= std::chrono::seconds(1)) window = {now, 0};
    if (window.admitted == per_second) return false;
    ++window.admitted;
    return true;
}

WorkerLog::WorkerLog(LogWriter* writer, const config::AccessLog& settings, TimingWheel& wheel,
                     metrics::WorkerCells& cells)
    : writer_(writer), settings_(settings), wheel_(wheel), cells_(cells) {
    chunks_.reserve(max_chunks);
}

WorkerLog::~WorkerLog() { wheel_.cancel(*this); }

void WorkerLog::write(const LogRecord& record, TimePoint now) {
    if (writer_ == nullptr || !wanted(record, now)) return;
    line_.clear();
    if (settings_.format == config::LogFormat::json)
        append_json(line_, record);
    else
        append_text(line_, record);
    LogChunk* chunk = chunk_with_room(line_.size());
    if (chunk == nullptr) return cells_.log_dropped.add();
    std::copy_n(line_.data(), line_.size(), chunk->data.data() + chunk->size);
    chunk->size += line_.size();
    ++chunk->lines;
    cells_.log_lines.add();
    if (!filed()) wheel_.file(*this, deadline_after(now, settings_.flush_interval));
}

bool WorkerLog::wanted(const LogRecord& record, TimePoint now) {
    const bool close = record.event == LogRecord::Event::close;
    if (!(close ? settings_.on_close : settings_.on_open)) return false;
    if (close && settings_.skip_empty && record.bytes_to_backend + record.bytes_to_client == 0)
        return false;
    if (close && is_refusal(record.reason) && !throttle_.admit(record.reason, now)) {
        cells_.log_suppressed.add();
        return false;
    }
    return true;
}

LogChunk* WorkerLog::chunk_with_room(std::size_t bytes) {
    if (current_ != nullptr && current_->size + bytes <= LogChunk::capacity) return current_;
    if (bytes > LogChunk::capacity) return nullptr;
    if (current_ != nullptr) writer_->submit(std::exchange(current_, nullptr));
    if (free_ == nullptr) free_ = returned_.take_all();
    if (free_ != nullptr)
        current_ = std::exchange(free_, free_->next);
    else if (chunks_.size() < max_chunks)
        current_ = chunks_.emplace_back(std::make_unique<LogChunk>(returned_)).get();
    return current_;
}

void WorkerLog::flush() {
    wheel_.cancel(*this);
    if (current_ == nullptr || current_->size == 0) return;
    writer_->submit(std::exchange(current_, nullptr));
}

void WorkerLog::configure(LogWriter* writer, const config::AccessLog& settings) {
    flush();
    if (current_ != nullptr) {  // an empty one
        current_->next = free_;
        free_ = std::exchange(current_, nullptr);
    }
    writer_ = writer;
    settings_ = settings;
}

void WorkerLog::on_timer(TimePoint) { flush(); }

}  // namespace penstock::proxy
