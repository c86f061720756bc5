#include "proxy/inspect/closed_sessions.hpp"

#include <utility>

#include "proxy/access_log/format.hpp"

namespace penstock::proxy {

namespace {

bool wanted(const ClosedSession& closed, const ClosedFilter& filter) {
    return (filter.reason == CloseReason::none || closed.record.reason == filter.reason) &&
           (filter.upstream.empty() || closed.record.upstream == filter.upstream);
}

}  // namespace

WallTime ended_at(const LogRecord& record) noexcept {
    return record.accepted + std::chrono::duration_cast<std::chrono::milliseconds>(
                                 std::chrono::microseconds(record.duration_us));
}

void ClosedSessions::add(ClosedSession closed) {
    if (ring_.size() < capacity) {
        ring_.push_back(std::move(closed));
        return;
    }
    ring_[next_] = std::move(closed);
    next_ = (next_ + 1) % capacity;
}

std::vector<ClosedLine> ClosedSessions::list(const ClosedFilter& filter) const {
    std::vector<ClosedLine> lines;
    LineBuffer text;
    for (std::size_t i = 0; i < ring_.size() && lines.size() < filter.limit; ++i) {
        // From the newest, which stands before the oldest, back around the ring.
        const auto& closed = ring_[(next_ + ring_.size() - 1 - i) % ring_.size()];
        if (!wanted(closed, filter)) continue;
        LogRecord record = closed.record;
        record.failed_attempts = closed.failed_attempts;
        text.clear();
        append_json(text, record);
        lines.push_back({ended_at(record), std::string(text.view().substr(0, text.size() - 1))});
    }
    return lines;
}

}  // namespace penstock::proxy
