#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/role.hpp"
#include "health/actions.hpp"

namespace penstock::health {

/// Who has which role, by what the backends of one upstream report. Of several that claim to be
/// primary the newest claimant is believed: who most recently changed to claiming it. The older
/// ones are disputed: in no role. Pure; one owner thread.
class RoleBook {
public:
    /// A backend is in another role now.
    struct Change {
        MemberId member;
        Role from;
        Role to;
    };
    using Changes = std::vector<Change>;

    /// What a backend says of itself now; an answer without a role is Role::none.
    Changes report(MemberId member, Role role);
    /// Whether it can answer, as far as its check knows. One that cannot keeps its role and its
    /// claim, but is no party to a conflict: after a fail-over the old primary is just down.
    void set_answering(MemberId member, bool answering);
    /// One in maintenance competes with nobody; its claim keeps its age.
    Changes set_competing(MemberId member, bool competing);
    Changes remove(MemberId member);

    [[nodiscard]] Role reported(MemberId member) const noexcept;
    /// The role it is in.
    [[nodiscard]] Role role(MemberId member) const noexcept;
    /// It says primary, but a newer claimant is believed.
    [[nodiscard]] bool disputed(MemberId member) const noexcept;
    /// Two that can answer claim to be primary.
    [[nodiscard]] bool conflict() const noexcept;
    /// Who is believed to be primary, and whom it outdid last; both meaningful during a conflict.
    [[nodiscard]] MemberId newest() const noexcept { return believed_; }
    [[nodiscard]] MemberId outdone() const noexcept;

private:
    static constexpr MemberId nobody = static_cast<MemberId>(-1);

    struct Entry {
        Role reported = Role::none;
        bool answering = true;
        bool competing = true;
    };

    [[nodiscard]] const Entry* find(MemberId member) const noexcept;
    [[nodiscard]] bool counts(MemberId member) const noexcept;
    Changes believe_newest(MemberId member, Role from);

    std::unordered_map<MemberId, Entry> entries_;
    std::vector<MemberId> claimants_;  // the newest last
    MemberId believed_ = nobody;
};

}  // namespace penstock::health
