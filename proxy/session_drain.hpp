#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include <boost/intrusive/list.hpp>

#include "base/close_reason.hpp"
#include "health/data_plane.hpp"
#include "proxy/drain_plan.hpp"
#include "proxy/session.hpp"

namespace penstock::proxy {

using SessionList = boost::intrusive::list<Session, boost::intrusive::constant_time_size<false>>;

/// Which sessions a drain is about: those of one backend, or all.
struct DrainScope {
    std::shared_ptr<const balancer::Backend> backend;  // null = all sessions
    Role asked = Role::none;          // only those that asked for this role; none = any
    TimePoint before = no_deadline;   // only those that had their backend before this moment

    [[nodiscard]] bool covers(const Session& session) const noexcept;
};

/// Closes sessions of one worker as a plan says: idle ones first, and before the deadline only
/// those that can end by FIN without losing a byte; at the deadline all. The worker's thread.
class SessionDrain {
public:
    SessionDrain() = default;
    SessionDrain(DrainScope scope, const DrainPlan& plan, CloseReason reason) noexcept
        : scope_(std::move(scope)), plan_(plan), reason_(reason) {}

    /// Closes what is due. Returns when it wants to be called again; no_deadline when no session
    /// is left that it is about.
    TimePoint step(SessionList& sessions, TimePoint now);

    [[nodiscard]] const DrainScope& scope() const noexcept { return scope_; }
    [[nodiscard]] CloseReason reason() const noexcept { return reason_; }

private:
    DrainScope scope_;
    DrainPlan plan_;
    CloseReason reason_ = CloseReason::drained;
    std::size_t at_closing_ = 0;  // sessions when closing began
};

}  // namespace penstock::proxy
