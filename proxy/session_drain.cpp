#include "proxy/session_drain.hpp"

#include <algorithm>

namespace penstock::proxy {

namespace {

constexpr Duration tick = std::chrono::milliseconds(50);
// In one step, lest traffic wait for it.
constexpr std::size_t most_asked = 1000;

}  // namespace

bool DrainScope::covers(const Session& session) const noexcept {
    if (listener != nullptr && !session.came_by(*listener, upstream)) return false;
    if (backend == nullptr) return true;
    return session.backend() == backend.get() && (asked == Role::none || session.role() == asked) &&
           (before == no_deadline || session.relays_since_before(before));
}

std::size_t count_covered(const SessionList& sessions, const DrainScope& scope) {
    return static_cast<std::size_t>(std::ranges::count_if(sessions, [&](const Session& session) {
        return session.state() != SessionState::closed && scope.covers(session);
    }));
}

TimePoint SessionDrain::step(SessionList& sessions, TimePoint now) {
    if (now < plan_.closing_begins()) return plan_.closing_begins();
    std::vector<Session*> left;
    for (Session& session : sessions)
        if (session.state() != SessionState::closed && scope_.covers(session))
            left.push_back(&session);
    at_closing_ = std::max(at_closing_, left.size());
    const std::size_t gone = at_closing_ - left.size();
    const std::size_t wanted = std::min(manner_.quota, at_closing_);
    if (now >= plan_.deadline()) {
        close_idlest(left, wanted > gone ? wanted - gone : 0);
        return no_deadline;
    }
    if (left.empty() || gone >= wanted) return no_deadline;
    if (const std::size_t due = plan_.gone_by(now, wanted); due > gone) {
        if (manner_.only_quiet)
            close_quiet(left, due - gone, now);
        else
            close_idlest(left, due - gone);
    }
    return std::min(now + tick, plan_.deadline());
}

// Whether a session is quiet is asked of the kernel: only until enough are found, and of the idlest
// first, of which most are. The rest of what is due is not left for the deadline, where their
// clients would all come back at once.
void SessionDrain::close_quiet(std::vector<Session*>& among, std::size_t count, TimePoint now) {
    const auto later = [](const Session* a, const Session* b) {
        return a->last_activity() > b->last_activity();
    };
    std::vector<Session*> busy;  // the idlest first
    std::ranges::make_heap(among, later);
    for (std::size_t asked = 0; count > 0 && !among.empty() && asked < most_asked; ++asked) {
        std::ranges::pop_heap(among, later);
        Session* const idlest = among.back();
        among.pop_back();
        if (!idlest->is_quiet(now)) {
            busy.push_back(idlest);
            continue;
        }
        idlest->abort(reason_);
        --count;
    }
    const bool are_some = manner_.quota != std::numeric_limits<std::size_t>::max();
    if (are_some) return;  // others may be quiet sooner
    for (std::size_t i = 0; i < std::min(count, busy.size()); ++i) busy[i]->abort(reason_);
}

void SessionDrain::close_idlest(std::vector<Session*>& among, std::size_t count) {
    count = std::min(count, among.size());
    std::ranges::partial_sort(among, among.begin() + static_cast<std::ptrdiff_t>(count), {},
                              &Session::last_activity);
    for (std::size_t i = 0; i < count; ++i) among[i]->abort(reason_);
}

}  // namespace penstock::proxy
