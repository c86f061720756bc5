#include "proxy/setup.hpp"

#include <algorithm>
#include <utility>

#include "proxy/pool/warm_pool.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

using balancer::PickFailure;

Setup::Setup(Session& session)
    : session_(session),
      upstream_(session.upstream()),
      lane_(upstream_.lane(session.role())),
      retry_(upstream_.settings().attempts, upstream_.settings().retry_backoff.base,
             upstream_.settings().retry_backoff.max),
      key_(upstream_.hasher.hash(session.peer(), session.server_name())),
      waiter_(session, session.worker().index()),
      held_(session) {}

Setup::~Setup() {
    connecting_.release();
    if (!in_line_) return;
    // A call that came meanwhile belongs to the next one.
    if (upstream_.shared->line(lane_.role).leave(waiter_)) call_waiting();
}

Setup::Next Setup::admit() {
    const TimePoint now = session_.worker().loop().now();
    if (held_.is_linked()) held_.unlink();
    if (in_line_) return admit_waiting(now);
    if (upstream_.paused && !upstream_.left) return hold(now);
    // A session that was served once goes on trying; others came first for those who never were.
    if (std::exchange(newcomer_, false) && upstream_.shared->line(lane_.role).occupied())
        return enqueue(now);
    return choose(now);
}

Setup::Next Setup::admit_waiting(TimePoint now) {
    if (waiter_.trying()) return choose(now);
    if (now < queue_ends_) return Next::wait;
    in_line_ = false;
    if (upstream_.shared->line(lane_.role).leave(waiter_)) {  // called in this very moment
        if (const auto chosen = try_pick(now)) {
            end_waiting(now);
            return *chosen;
        }
        call_waiting();
    }
    end_waiting(now);
    return refuse(CloseReason::queue_timeout);
}

Setup::Next Setup::choose(TimePoint now) {
    const Chosen chosen = try_pick(now);
    if (!chosen && chosen.error() == PickFailure::all_full) return enqueue(now);
    if (std::exchange(in_line_, false)) {
        // Nobody that is available: no slot for anyone, so there is no call to pass on.
        static_cast<void>(upstream_.shared->line(lane_.role).leave(waiter_));
    }
    if (!chosen) return hold(now);
    end_waiting(now);
    // Slots that this choice held for a moment may have looked taken to somebody who now waits.
    call_waiting();
    return *chosen;
}

Setup::Chosen Setup::try_pick(TimePoint now) {
    follow_set();
    // Who waits for a slot need not wait to learn this.
    if (!lane_.selector.any_available()) return std::unexpected(PickFailure::none_available);
    const bool had_slot = session_.has_upstream_slot();
    if (!had_slot && !take_upstream_slot()) return std::unexpected(PickFailure::all_full);
    WarmPool* const pool = upstream_.pool.get();
    Chosen result = std::unexpected(PickFailure::all_full);
    for (bool gave_up = false;;) {
        auto pick =
            lane_.selector.pick({tried_, key_, now, pool != nullptr ? &pool->ready() : nullptr});
        if (pick) {
            const bool warm = !pick->slot;
            result = take(*std::move(pick), warm);
            if (result) return result;
            continue;  // what looked warm was dead: the pool knows now
        }
        result = std::unexpected(pick.error());
        // Connections that are still being opened give way too.
        if (pick.error() != PickFailure::all_full || pool == nullptr || gave_up ||
            !pool->give_up_one())
            break;
        gave_up = true;
    }
    if (!had_slot) session_.release_upstream_slot();
    return result;
}

bool Setup::take_upstream_slot() {
    auto& connections = upstream_.shared->connections;
    auto slot = connections.try_acquire();
    if (!slot && upstream_.pool && upstream_.pool->give_up_one()) slot = connections.try_acquire();
    if (!slot) return false;
    session_.keep_upstream_slot(std::move(slot));
    return true;
}

Setup::Chosen Setup::take(balancer::Pick pick, bool warm) {
    backend_ = &upstream_.set()->backend(pick.index);
    if (upstream_.pool) upstream_.pool->on_arrival(pick.index);
    if (lane_.selector.forced(pick.index)) upstream_.cells.panic_picks.add();
    if (!warm) {
        if (upstream_.pool) cells().warm_was(metrics::WarmResult::miss).add();
        session_.take_backend(*backend_, std::move(pick.slot), pick.pass);
        connecting_ = std::move(pick.connecting);
        return Next::connect;
    }
    ConnectionSlots slots;
    SecuredConnection secured;
    if (!upstream_.pool->take(pick.index, session_.backend_socket(), slots, secured)) {
        backend_->circuit().give_back(pick.pass);
        return std::unexpected(PickFailure::all_full);
    }
    session_.take_backend(*backend_, std::move(slots.backend), pick.pass);
    if (secured.stream)
        session_.secure_backend(std::move(secured.stream), std::move(secured.context));
    session_.source_place() = slots.source;
    // The session has one of its own: that of the pool's connection is free.
    slots.upstream.release();
    cells().warm_was(metrics::WarmResult::hit).add();
    call_waiting();
    return Next::relay;
}

Setup::Next Setup::enqueue(TimePoint now) {
    UpstreamShared& shared = *upstream_.shared;
    if (!shared.line(lane_.role).join(waiter_, now)) return refuse(CloseReason::queue_full);
    if (!std::exchange(in_line_, true)) {
        if (waiting_since_ == no_deadline) waiting_since_ = now;
        queue_ends_ = deadline_after(now, upstream_.settings().queue.timeout);
        upstream_.cells.queued.add();
    }
    tried_ = {};
    session_.now_is(Activity::queued);
    wait_until_ = queue_ends_;
    if (upstream_.has_room(lane_))
        call_waiting();
    else
        session_.worker().ask_for_warm(shared);
    return Next::wait;
}

Setup::Next Setup::hold(TimePoint now) {
    const auto& settings = upstream_.settings();
    const bool holds =
        (settings.no_backend == config::NoBackend::hold || upstream_.paused) && !upstream_.left;
    if (holds && !hold_place_ && settings.hold.max_length != 0) {
        hold_place_ = upstream_.shared->held.try_acquire();
        // Also when it is held again: one deadline for all of it.
        if (hold_ends_ == no_deadline) hold_ends_ = deadline_after(now, settings.hold.timeout);
        if (waiting_since_ == no_deadline) waiting_since_ = now;
        if (hold_place_) upstream_.cells.held.add();
    }
    if (!holds || !hold_place_ || now >= hold_ends_) {
        end_waiting(now);
        return refuse(CloseReason::no_backend);
    }
    tried_ = {};
    session_.release_upstream_slot();
    session_.now_is(Activity::held);
    lane_.hold_room.add(held_);
    wait_until_ = hold_ends_;
    return Next::wait;
}

// The set may have changed since the last attempt: what was tried is known by its backends.
void Setup::follow_set() {
    if (tried_.size() == 0 || tried_in_ == upstream_.set()) return;
    const auto before = std::exchange(tried_in_, upstream_.set());
    balancer::Bitmap tried(tried_in_->size());
    for (const std::uint32_t old : tried_.ones(0, tried_.size()))
        if (const auto place = tried_in_->find(before->backend(old))) tried.set(*place);
    tried_ = std::move(tried);
}

void Setup::note_tried() {
    follow_set();
    if (tried_.size() == 0) {
        tried_in_ = upstream_.set();
        tried_ = balancer::Bitmap(tried_in_->size());
    }
    if (const auto place = tried_in_->find(*backend_)) tried_.set(*place);
}

Setup::Next Setup::refuse(CloseReason reason, int error) {
    session_.abort(reason, error);
    return Next::ended;
}

void Setup::on_connected(Duration took) {
    connecting_.release();
    call_waiting();
    cells().established.add();
    cells().connect.record(whole_us(took));
    backend_->latency().record(took, session_.worker().loop().now());
}

Setup::Next Setup::on_failed(const AttemptResult& result, Duration took) {
    auto& worker = session_.worker();
    const TimePoint now = worker.loop().now();
    UpstreamShared& shared = *upstream_.shared;
    if (!result.is_ours)
        backend_->latency().fail(now, std::max(took, upstream_.settings().connect_timeout));
    connecting_.release();
    cells().failed_by(result.error).add();
    session_.drop_backend(result, took);
    note_tried();
    const auto decision = retry_.on_failure(lane_.selector.can_pick(tried_), worker.random());
    if (decision.action == balancer::RetryAction::give_up)
        return refuse(CloseReason::connect_failed, result.number);
    if (!retry_token_) retry_token_ = shared.retries.try_begin(shared.connections.used());
    if (!retry_token_) {
        upstream_.cells.retries_denied.add();
        return refuse(CloseReason::connect_failed, result.number);
    }
    upstream_.cells.retries.add();
    if (decision.action != balancer::RetryAction::wait) return Next::connect;
    tried_ = {};
    wait_until_ = now + decision.wait;
    return Next::wait;
}

void Setup::end_waiting(TimePoint now) noexcept {
    hold_place_.release();
    session_.now_is(Activity::connecting);
    if (const TimePoint since = std::exchange(waiting_since_, no_deadline); since != no_deadline) {
        session_.add_queue_time(now - since);
        upstream_.cells.waited.record(whole_us(now - since));
    }
}

metrics::BackendCells& Setup::cells() const noexcept {
    return backend_->cells(session_.worker().index());
}

void Setup::call_waiting() noexcept { session_.worker().call_waiting(upstream_); }

}  // namespace penstock::proxy
