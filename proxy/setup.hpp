#pragma once

#include <cstdint>
#include <expected>

#include "balancer/bitmap.hpp"
#include "balancer/retry_budget.hpp"
#include "balancer/retry_policy.hpp"
#include "balancer/selector.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/clock.hpp"
#include "proxy/front/introduction.hpp"
#include "proxy/queue/hold_room.hpp"
#include "proxy/queue/waiting_line.hpp"
#include "proxy/upstream.hpp"

namespace penstock::proxy {

class Session;

/// A session's places in the queues of its upstream.
struct SessionWaiter final : Waiter {
    SessionWaiter(Session& of, unsigned worker) noexcept : Waiter(worker), session(of) {}
    Session& session;
};
struct SessionHeld final : Held {
    explicit SessionHeld(Session& of) noexcept : session(of) {}
    Session& session;
};

/// How a session gets its backend: choosing, waiting for a slot or for a backend, and what to do
/// after a failure. Decides; the connector performs and awaits. Lives in the connector's frame, and
/// gives up its place in any queue when it dies.
class Setup {
public:
    explicit Setup(Session& session);
    ~Setup();
    Setup(const Setup&) = delete;
    Setup& operator=(const Setup&) = delete;

    enum class Next : std::uint8_t {
        connect,  // to backend(), whose slots the session holds now
        relay,  // the session has a warm connection
        wait,  // until wait_until() or a wake-up, then admit() again
        ended,  // the session was aborted
    };
    [[nodiscard]] Next admit();
    /// The attempt that admit() asked for succeeded. Ends the need for a Setup.
    void on_connected(Duration took);
    /// It failed: wait, ended, or connect, which means admit() again.
    [[nodiscard]] Next on_failed(const AttemptResult& result, Duration took);

    [[nodiscard]] const balancer::Backend& backend() const noexcept { return *backend_; }
    [[nodiscard]] TimePoint wait_until() const noexcept { return wait_until_; }

private:
    using Chosen = std::expected<Next, balancer::PickFailure>;

    [[nodiscard]] Next admit_waiting(TimePoint now);
    [[nodiscard]] Next choose(TimePoint now);
    [[nodiscard]] Chosen try_pick(TimePoint now);
    [[nodiscard]] bool take_upstream_slot();
    [[nodiscard]] Chosen take(balancer::Pick pick, bool warm);
    [[nodiscard]] Next enqueue(TimePoint now);
    [[nodiscard]] Next hold(TimePoint now);
    [[nodiscard]] Next refuse(CloseReason reason, int error = 0);
    void end_waiting(TimePoint now) noexcept;
    void call_waiting() noexcept;
    /// Those of backend() on this worker.
    [[nodiscard]] metrics::BackendCells& cells() const noexcept;

    void note_tried();
    void follow_set();

    Session& session_;
    UpstreamContext& upstream_;
    Lane& lane_;
    balancer::RetryPolicy retry_;
    balancer::RetryBudget::Token retry_token_;
    balancer::Bitmap tried_;  // indices of tried_in_; size 0 = nobody
    std::shared_ptr<const balancer::BackendSet> tried_in_;
    std::optional<std::uint64_t> key_;
    SessionWaiter waiter_;
    SessionHeld held_;
    balancer::Permit hold_place_;
    balancer::Permit connecting_;
    balancer::Backend* backend_ = nullptr;  // of the last attempt; alive as long as the session
    bool newcomer_ = true;
    bool in_line_ = false;
    TimePoint waiting_since_ = no_deadline;
    TimePoint hold_ends_ = no_deadline;
    TimePoint queue_ends_ = no_deadline;
    TimePoint wait_until_ = no_deadline;
};

}  // namespace penstock::proxy
