// What a session tells: counters at its end, its line in the access log, and what an operator sees.
#include "proxy/session.hpp"

#include <utility>

#include "proxy/worker.hpp"

namespace penstock::proxy {

void Session::count_end() noexcept {
    const auto reason = std::to_underlying(reason_);
    (upstream_ ? listener_->cells_of(*upstream_).closed[reason] : listener_->cells.closed[reason])
        .add();
    if (connect_us_ != unknown_time)
        backend_cells().closed[std::to_underlying(class_of(reason_))].add();
    listener_->cells.duration.record(whole_us(worker_.loop().now() - accepted_at_));
}

LogRecord Session::make_record(LogRecord::Event event) const noexcept {
    LogRecord record{
        .event = event,
        .accepted = accepted_wall_,
        .id = {worker_.process_id(), sequence_},
        .listener = listener_->settings().name,
        .worker = worker_.index(),
        .client = peer_,
        .local = local_,
        // Not the name in the settings: those may be replaced while this is remembered.
        .upstream = upstream_ ? std::string_view(upstream_->shared->name) : "",
        .backend = connect_us_ == unknown_time ? nullptr : backend_,
        .backend_local = backend_local_,
        .failed_attempts = {},
        .warm = warm_,
        .connect_us = connect_us_,
        .first_byte_us = first_byte_us_,
        .bytes_to_backend = to_backend_.bytes,
        .bytes_to_client = to_client_.bytes,
        .closed_by = closed_by_,
        .reason = reason_,
        .detail = errno_name(error_)};
    record.duration_us = whole_us(worker_.loop().now() - accepted_at_);
    if (const Front* front = front_if()) {
        record.facts = front->facts.get();
        if (!front->facts->problem.empty()) record.detail = front->facts->problem;
    }
    if (extras_) {
        record.failed_attempts = extras_->failed_attempts;
        record.would_refuse = extras_->would_refuse;
        if (extras_->queued > Duration::zero()) record.queue_us = microseconds(extras_->queued);
    }
    return record;
}

void Session::remember(const LogRecord& record) noexcept {
    try {
        std::vector<Attempt> failed;
        if (extras_) failed = std::move(extras_->failed_attempts);
        std::shared_ptr<const balancer::Backend> backend;
        if (record.backend != nullptr) backend = backend_->shared_from_this();
        std::shared_ptr<const ClientFacts> facts;
        if (const Front* front = front_if()) facts = front->facts;
        worker_.closed_sessions().add({record, listener_, upstream_, std::move(backend),
                                       std::move(failed), std::move(facts)});
    } catch (const std::bad_alloc&) {  // one is forgotten
    }
}

SessionInfo Session::info() const {
    const TimePoint now = worker_.loop().now();
    return {.id = {worker_.process_id(), sequence_},
            .listener = listener_->settings().name,
            .worker = worker_.index(),
            .client = peer_.to_string(),
            .upstream = upstream_ ? upstream_->settings().name : std::string(),
            .backend = backend_ != nullptr ? backend_->name() : std::string(),
            .activity = activity(),
            .age = now - accepted_at_,
            .idle = now - times_.last_activity,
            .bytes_to_backend = to_backend_.bytes,
            .bytes_to_client = to_client_.bytes,
            .server_name = std::string(server_name())};
}

Activity Session::activity() const noexcept {
    if (state_ == SessionState::arriving) return Activity::handshake;
    if (state_ == SessionState::connecting) return waiting_;
    return times_.half_closed_since == no_deadline && state_ == SessionState::relaying
               ? Activity::relaying
               : Activity::half_closed;
}

bool Session::matches(const SessionFilter& filter) const noexcept {
    if (!filter.listener.empty() && listener_->settings().name != filter.listener) return false;
    if (!filter.upstream.empty() && (!upstream_ || upstream_->settings().name != filter.upstream))
        return false;
    if (!filter.backend.empty() && (backend_ == nullptr || backend_->name() != filter.backend))
        return false;
    if (filter.source && (peer_.is_unix() || !filter.source->contains(Prefix::mapped(peer_))))
        return false;
    return worker_.loop().now() - accepted_at_ >= filter.older;
}

}  // namespace penstock::proxy
