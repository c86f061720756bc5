#include "health/roles/role_book.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/random.hpp"

namespace penstock::health {
namespace {

constexpr MemberId a = 0;
constexpr MemberId b = 1;
constexpr MemberId c = 2;

// `member from->to`, in any order.
using Told = std::map<MemberId, std::pair<Role, Role>>;
Told told(const RoleBook::Changes& changes) {
    Told result;
    for (const auto& change : changes)
        EXPECT_TRUE(result.try_emplace(change.member, change.from, change.to).second)
            << change.member << " twice";
    return result;
}

TEST(RoleBook, a_report_counts_at_once_and_only_changes_are_told) {
    RoleBook book;
    EXPECT_EQ(book.role(a), Role::none);
    EXPECT_EQ(told(book.report(a, Role::primary)), (Told{{a, {Role::none, Role::primary}}}));
    EXPECT_EQ(told(book.report(a, Role::primary)), Told{});
    EXPECT_EQ(told(book.report(b, Role::replica)), (Told{{b, {Role::none, Role::replica}}}));
    EXPECT_EQ(told(book.report(a, Role::none)), (Told{{a, {Role::primary, Role::none}}}));
    EXPECT_FALSE(book.conflict());
}

TEST(RoleBook, the_newest_claimant_is_believed_and_the_older_is_in_no_role) {
    RoleBook book;
    book.report(a, Role::primary);
    book.report(b, Role::replica);
    EXPECT_EQ(told(book.report(b, Role::primary)),
              (Told{{a, {Role::primary, Role::none}}, {b, {Role::replica, Role::primary}}}));
    EXPECT_TRUE(book.disputed(a));
    EXPECT_FALSE(book.disputed(b));
    EXPECT_TRUE(book.conflict());
    EXPECT_EQ(book.newest(), b);
    EXPECT_EQ(book.outdone(), a);
    // Saying it again makes nobody newer.
    EXPECT_EQ(told(book.report(a, Role::primary)), Told{});
    EXPECT_EQ(book.role(b), Role::primary);
    // Who stops and starts again is the newest.
    EXPECT_EQ(told(book.report(a, Role::replica)), (Told{{a, {Role::none, Role::replica}}}));
    EXPECT_FALSE(book.conflict());
    EXPECT_EQ(told(book.report(a, Role::primary)),
              (Told{{b, {Role::primary, Role::none}}, {a, {Role::replica, Role::primary}}}));
}

TEST(RoleBook, when_the_newest_gives_up_the_next_newest_is_believed) {
    RoleBook book;
    book.report(a, Role::primary);
    book.report(b, Role::primary);
    book.report(c, Role::primary);
    EXPECT_EQ(told(book.report(c, Role::replica)),
              (Told{{c, {Role::primary, Role::replica}}, {b, {Role::none, Role::primary}}}));
    EXPECT_TRUE(book.conflict()) << "a and b";
    EXPECT_EQ(told(book.remove(b)), (Told{{a, {Role::none, Role::primary}}}));
    EXPECT_FALSE(book.conflict());
    EXPECT_EQ(told(book.remove(a)), Told{});
    EXPECT_EQ(book.role(a), Role::none);
}

TEST(RoleBook, one_that_cannot_answer_is_no_party_to_a_conflict) {
    RoleBook book;
    book.report(a, Role::primary);
    book.set_answering(a, false);
    EXPECT_EQ(book.role(a), Role::primary) << "the last known";
    book.report(b, Role::primary);
    EXPECT_TRUE(book.disputed(a));
    EXPECT_FALSE(book.conflict()) << "a fail-over";
    book.set_answering(a, true);
    EXPECT_TRUE(book.conflict()) << "it came back and has not heard of it";
    EXPECT_EQ(book.role(b), Role::primary);
    book.set_answering(b, false);
    EXPECT_FALSE(book.conflict());
    EXPECT_EQ(book.role(a), Role::none) << "the older claim is not taken up again";
}

TEST(RoleBook, in_maintenance_a_claim_waits_and_keeps_its_age) {
    RoleBook book;
    book.report(a, Role::primary);
    EXPECT_EQ(told(book.set_competing(a, false)), (Told{{a, {Role::primary, Role::none}}}));
    EXPECT_FALSE(book.disputed(a));
    book.report(b, Role::primary);
    EXPECT_FALSE(book.conflict());
    EXPECT_EQ(told(book.set_competing(a, true)), Told{});
    EXPECT_EQ(book.role(b), Role::primary) << "it is older than b's";
    EXPECT_TRUE(book.disputed(a));
    EXPECT_EQ(told(book.set_competing(b, false)),
              (Told{{b, {Role::primary, Role::none}}, {a, {Role::none, Role::primary}}}));
}

// What was told adds up to what is asked, and never two are primary.
TEST(RoleBook, random_reports) {
    Random random(5);
    RoleBook book;
    std::map<MemberId, Role> roles;
    std::map<MemberId, Role> reported;
    for (int n = 0; n < 20'000; ++n) {
        const MemberId member = random.below(6);
        RoleBook::Changes changes;
        const std::uint32_t dice = random.below(20);
        if (dice == 0) {
            changes = book.remove(member);
            roles.erase(member);
            reported.erase(member);
        } else if (dice == 1) {
            changes = book.set_competing(member, random.below(2) == 0);
        } else if (dice == 2) {
            book.set_answering(member, random.below(2) == 0);
        } else {
            reported[member] = static_cast<Role>(random.below(role_count));
            changes = book.report(member, reported[member]);
        }
        for (const auto& [who, from, to] : changes) {
            EXPECT_EQ(roles[who], from);
            roles[who] = to;
        }
        int primaries = 0;
        for (MemberId who = 0; who < 6; ++who) {
            ASSERT_EQ(book.role(who), roles[who]) << n;
            ASSERT_EQ(book.reported(who), reported[who]);
            if (book.role(who) == Role::primary) ++primaries;
            ASSERT_FALSE(book.disputed(who) && book.role(who) != Role::none);
        }
        ASSERT_LE(primaries, 1);
        ASSERT_TRUE(!book.conflict() || primaries == 1);
    }
}

}  // namespace
}  // namespace penstock::health
