#include "health/announcer.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace penstock::health {

namespace {

// ` for clients that ask for a primary`, nothing where no role is asked for.
std::string for_whom(Role asked) {
    if (asked == Role::none) return "";
    return fmt::format(" for clients that ask for a {}", name_of(asked));
}

}  // namespace

Announcer::Announcer(double panic_threshold, bool asked_primary, bool asked_replica) {
    configure(panic_threshold, asked_primary, asked_replica);
}

void Announcer::configure(double panic_threshold, bool asked_primary, bool asked_replica) {
    threshold_ = panic_threshold;
    asked_ = {Role::none};
    if (asked_primary) asked_.push_back(Role::primary);
    if (asked_replica) asked_.push_back(Role::replica);
    const auto is_asked = [this](Role role) {
        return std::ranges::find(asked_, role) != asked_.end();
    };
    std::erase_if(panics_, [&](const Panic& told) { return !is_asked(told.second); });
    for (const Role role : {Role::primary, Role::replica})
        if (!is_asked(role)) nobody_[std::to_underlying(role)] = false;
}

void Announcer::look(const TierBook& tiers, bool awaited, std::vector<Event>& events) {
    look_at_panic(tiers, events);
    look_at_availability(tiers, awaited, events);
}

void Announcer::look_at_panic(const TierBook& tiers, std::vector<Event>& events) {
    std::set<Panic> now;
    for (const Role role : asked_)
        for (const std::uint32_t tier : tiers.tiers_in_panic(role)) now.emplace(tier, role);
    for (const auto& [tier, role] : now) {
        if (panics_.contains({tier, role})) continue;
        const TierCount count = tiers.tier(tier, role);
        events.push_back(
            {.kind = EventKind::panic_began,
             .backend = "",
             .text = fmt::format("panics in tier {}{}: {} of {} backends healthy, less than {:g} "
                                 "%: the failing ones are used as well",
                                 tier, for_whom(role), count.healthy, count.candidates,
                                 threshold_ * 100),
             .is_warning = true});
    }
    for (const auto& [tier, role] : panics_) {
        if (now.contains({tier, role})) continue;
        const TierCount count = tiers.tier(tier, role);
        events.push_back(
            {.kind = EventKind::panic_ended,
             .backend = "",
             .text = fmt::format("no longer panics in tier {}{}: {} of {} backends "
                                 "healthy",
                                 tier, for_whom(role), count.healthy, count.candidates),
             .is_warning = false});
    }
    panics_ = std::move(now);
}

void Announcer::look_at_availability(const TierBook& tiers, bool awaited,
                                     std::vector<Event>& events) {
    for (const Role role : asked_) {
        bool& told = nobody_[std::to_underlying(role)];
        const bool nobody = !tiers.any_available(role);
        if (nobody == told || (nobody && awaited)) continue;
        told = nobody;
        events.push_back(
            {.kind = nobody ? EventKind::none_available : EventKind::available_again,
             .backend = "",
             .text = fmt::format("has {}{}", nobody ? "no backend available" : "a backend again",
                                 for_whom(role)),
             .is_warning = nobody});
    }
}

}  // namespace penstock::health
