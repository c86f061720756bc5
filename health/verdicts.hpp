#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/random.hpp"
#include "health/announcer.hpp"
#include "health/availability.hpp"
#include "health/member.hpp"
#include "health/probe/probe.hpp"
#include "health/roles/role_book.hpp"
#include "health/upstream_health.hpp"

namespace penstock::health {

/// What UpstreamHealth is made of. Every event ends with the books in order: whoever asks next sees
/// all of what has happened.
struct UpstreamHealth::Impl {
    Impl(const config::Upstream& its_settings, const Options& options, std::uint64_t seed);

    // Members.
    [[nodiscard]] Member* find(MemberId id) noexcept;
    [[nodiscard]] const Member* find(MemberId id) const noexcept;
    MemberId add(NewMember&& arrival, TimePoint now);
    void remove(Member& member);
    void set_state(Member& member, config::BackendState state, TimePoint now);
    void enter_maintenance(Member& member);
    void leave_maintenance(Member& member, TimePoint now);

    // A change of the settings.
    void configure(const config::Upstream& changed, const Options& options, TimePoint now);
    void begin_checks(Member& member, TimePoint now);
    void end_checks(Member& member);
    void configure_breaker(Member& member);

    // The check.
    [[nodiscard]] bool is_checked(const Member& member) const noexcept;
    [[nodiscard]] Duration first_spread(bool urgent, TimePoint now) noexcept;
    void note_awaited(Member& member);
    void on_result(Member& member, const ProbeResult& result, TimePoint now);
    [[nodiscard]] static bool excuse(Member& member, bool ok) noexcept;
    void settle_verdict(Member& member, bool was_pending, TimePoint now);
    void end_if_down(Member& member, TimePoint now);

    // The circuit breaker.
    void fulfil(Member& member, CircuitBreaker::Wish wish, TimePoint now);
    void open(Member& member, TimePoint now);
    void half_open(Member& member, TimePoint now);
    void close(Member& member, TimePoint now);
    void turn(Member& member, balancer::CircuitState to, std::uint32_t trials);
    [[nodiscard]] bool has_room_to_open(const Member& member) const noexcept;

    // Roles.
    /// `quietly`: the member whose own change is the operator's doing, which ends no sessions.
    void apply(const RoleBook::Changes& changes, const Member* quietly = nullptr);
    void look_for_conflict();

    // What follows.
    /// The standing of a member becomes another one.
    void restand(Member& member, const Standing& standing);
    void end_sessions(Member& member, EndCause cause, Role asked, bool at_once,
                      const std::string& why);
    void keep_sessions(const Member& member, EndCause cause);
    void tell(EventKind kind, const Member& member, std::string text, bool is_warning = false);
    /// Its timers may have changed.
    void refile(Member& member);

    config::Upstream settings;  // without backends; what refers to its parts follows its changes
    Random random;
    std::unordered_map<MemberId, Member> members;
    MemberId next_id = 0;
    TierBook tiers;
    RoleBook roles;
    Announcer announcer;
    std::set<std::pair<TimePoint, MemberId>> timers;
    Actions actions;
    bool unannounced = true;  // the tiers have changed since the announcer looked
    std::size_t awaited = 0;  // members whose first check is outstanding
    std::size_t not_closed = 0;  // members whose circuit is open or half-open
    bool told_conflict = false;
    TimePoint first_since = TimePoint::min();
    std::uint32_t first_at_once = 0;  // first checks since then that were not spread
};

}  // namespace penstock::health
