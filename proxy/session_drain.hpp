#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "base/close_reason.hpp"
#include "health/data_plane.hpp"
#include "proxy/drain_plan.hpp"
#include "proxy/session.hpp"

namespace penstock::proxy {

using SessionList = boost::intrusive::list<Session, boost::intrusive::constant_time_size<false>>;

/// Which sessions a drain is about: those of one backend, of one listener, or all. Every condition
/// that is given holds.
struct DrainScope {
    std::shared_ptr<const balancer::Backend> backend{};
    Role asked = Role::none;          // only those that asked for this role; none = any
    TimePoint before = no_deadline;   // only those that had their backend before this moment
    std::shared_ptr<const ListenerAccount> listener{};
    std::string upstream{};  // with `listener`: only those that went there; "" = anywhere

    [[nodiscard]] bool covers(const Session& session) const noexcept;
};

/// How many sessions of a worker that is.
[[nodiscard]] std::size_t count_covered(const SessionList& sessions, const DrainScope& scope);

/// How sessions are chosen.
struct DrainManner {
    /// Quiet ones first, which a FIN costs no byte; with a quota no others before the deadline.
    bool only_quiet = true;
    /// It is done when so many are gone, whoever ended them.
    std::size_t quota = std::numeric_limits<std::size_t>::max();
};

/// Closes sessions of one worker as a plan says: idle ones first, and at the deadline all of them,
/// or as many as the quota says. The worker's thread.
class SessionDrain {
public:
    SessionDrain() = default;
    SessionDrain(DrainScope scope, const DrainPlan& plan, CloseReason reason,
                 DrainManner manner = {}) noexcept
        : scope_(std::move(scope)), plan_(plan), reason_(reason), manner_(manner) {}

    /// Closes what is due. Returns when it wants to be called again; no_deadline when no session
    /// is left that it is about.
    TimePoint step(SessionList& sessions, TimePoint now);

    /// Of a listener that has left clients may be there of whom it is not known yet where they go,
    /// or be on their way from another worker: step() is to be called when it is known.
    [[nodiscard]] bool may_get_more() const noexcept {
        return scope_.listener != nullptr && scope_.listener->connections.used() != 0;
    }

    [[nodiscard]] const DrainScope& scope() const noexcept { return scope_; }
    [[nodiscard]] CloseReason reason() const noexcept { return reason_; }

private:
    void close_quiet(std::vector<Session*>& among, std::size_t count, TimePoint now);
    void close_idlest(std::vector<Session*>& among, std::size_t count);

    DrainScope scope_;
    DrainPlan plan_;
    CloseReason reason_ = CloseReason::drained;
    DrainManner manner_;
    std::size_t at_closing_ = 0;  // sessions when closing began
};

}  // namespace penstock::proxy
