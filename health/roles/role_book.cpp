#include "health/roles/role_book.hpp"

#include <algorithm>
#include <ranges>

namespace penstock::health {

RoleBook::Changes RoleBook::report(MemberId member, Role role) {
    if (reported(member) == role) return {};
    const Role from = this->role(member);
    Entry& entry = entries_[member];
    if (entry.reported == Role::primary) std::erase(claimants_, member);
    if (role == Role::primary) claimants_.push_back(member);
    entry.reported = role;
    return believe_newest(member, from);
}

void RoleBook::set_answering(MemberId member, bool answering) {
    entries_[member].answering = answering;
}

RoleBook::Changes RoleBook::set_competing(MemberId member, bool competing) {
    const Role from = role(member);
    entries_[member].competing = competing;
    return believe_newest(member, from);
}

RoleBook::Changes RoleBook::remove(MemberId member) {
    entries_.erase(member);
    std::erase(claimants_, member);
    return believe_newest(member, Role::none);
}

Role RoleBook::reported(MemberId member) const noexcept {
    const Entry* entry = find(member);
    return entry != nullptr ? entry->reported : Role::none;
}

Role RoleBook::role(MemberId member) const noexcept {
    const Role role = reported(member);
    return role == Role::primary && member != believed_ ? Role::none : role;
}

bool RoleBook::disputed(MemberId member) const noexcept {
    const Entry* entry = find(member);
    return entry != nullptr && entry->competing && entry->reported == Role::primary &&
           member != believed_;
}

bool RoleBook::conflict() const noexcept { return outdone() != nobody; }

MemberId RoleBook::outdone() const noexcept {
    if (believed_ == nobody || !counts(believed_)) return nobody;
    for (const MemberId member : claimants_ | std::views::reverse)
        if (member != believed_ && counts(member)) return member;
    return nobody;
}

const RoleBook::Entry* RoleBook::find(MemberId member) const noexcept {
    const auto found = entries_.find(member);
    return found == entries_.end() ? nullptr : &found->second;
}

bool RoleBook::counts(MemberId member) const noexcept {
    const Entry* entry = find(member);
    return entry != nullptr && entry->answering && entry->competing;
}

// `member` was in the role `from` before whatever happened to it.
RoleBook::Changes RoleBook::believe_newest(MemberId member, Role from) {
    const MemberId before = believed_;
    const auto newest = std::ranges::find_if(claimants_ | std::views::reverse,
                                             [this](MemberId id) { return find(id)->competing; });
    believed_ = newest == claimants_.rend() ? nobody : *newest;
    Changes changes;
    if (before != believed_ && before != nobody && before != member)
        changes.push_back({before, Role::primary, role(before)});
    if (role(member) != from) changes.push_back({member, from, role(member)});
    if (before != believed_ && believed_ != nobody && believed_ != member)
        changes.push_back({believed_, Role::none, Role::primary});
    return changes;
}

}  // namespace penstock::health
