#include "proxy/session_drain.hpp"

#include <algorithm>
#include <vector>

namespace penstock::proxy {

namespace {

constexpr Duration tick = std::chrono::milliseconds(50);

}  // namespace

bool DrainScope::covers(const Session& session) const noexcept {
    if (backend == nullptr) return true;
    return session.backend() == backend.get() && (asked == Role::none || session.role() == asked) &&
           (before == no_deadline || session.relays_since_before(before));
}

TimePoint SessionDrain::step(SessionList& sessions, TimePoint now) {
    if (now < plan_.closing_begins()) return plan_.closing_begins();
    std::vector<Session*> left;
    for (Session& session : sessions)
        if (session.state() != SessionState::closed && scope_.covers(session))
            left.push_back(&session);
    if (now >= plan_.deadline()) {
        for (Session* session : left) session->abort(reason_);
        return no_deadline;
    }
    if (left.empty()) return no_deadline;
    at_closing_ = std::max(at_closing_, left.size());
    const std::size_t due = plan_.gone_by(now, at_closing_);
    const std::size_t gone = at_closing_ - left.size();
    if (due > gone) {
        std::erase_if(left, [now](const Session* session) { return !session->is_quiet(now); });
        const std::size_t count = std::min(due - gone, left.size());
        std::ranges::partial_sort(left, left.begin() + static_cast<std::ptrdiff_t>(count), {},
                                  &Session::last_activity);
        for (std::size_t i = 0; i < count; ++i) left[i]->abort(reason_);
    }
    return std::min(now + tick, plan_.deadline());
}

}  // namespace penstock::proxy
