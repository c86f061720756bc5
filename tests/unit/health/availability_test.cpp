#include "health/availability.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.hpp"

namespace penstock::health {
namespace {

using balancer::CircuitState;

constexpr std::array all_roles{Role::none, Role::primary, Role::replica};
constexpr Standing well{};

constexpr Standing with(auto change) {
    Standing standing = well;
    change(standing);
    return standing;
}
constexpr Standing down = with([](Standing& s) { s.up = false; });
constexpr Standing open = with([](Standing& s) { s.circuit = CircuitState::open; });
constexpr Standing half_open = with([](Standing& s) { s.circuit = CircuitState::half_open; });
constexpr Standing pending = with([](Standing& s) {
    s.up = false;
    s.pending = true;
});
constexpr Standing not_ready = with([](Standing& s) { s.ready = false; });
constexpr Standing weightless = with([](Standing& s) { s.weight = 0; });
constexpr Standing primary = with([](Standing& s) { s.role = Role::primary; });

TEST(Availability, of_one_backend) {
    struct Case {
        Standing standing;
        Role asked;
        Admission normally;
        Admission in_panic;
    };
    constexpr Admission no{};
    constexpr Admission yes{.available = true};
    constexpr Admission forced{.available = true, .forced = true};
    const Case cases[] = {
        {well, Role::none, yes, yes},
        {down, Role::none, no, forced},
        {open, Role::none, no, forced},
        {half_open, Role::none, yes, forced},
        {pending, Role::none, no, no},
        {not_ready, Role::none, no, no},
        {weightless, Role::none, no, no},
        {primary, Role::none, yes, yes},
        {primary, Role::primary, yes, yes},
        {primary, Role::replica, no, no},
        {well, Role::primary, no, no},
        {with([](Standing& s) {
             s.up = false;
             s.role = Role::primary;
         }),
         Role::primary, no, forced},
        {with([](Standing& s) {
             s.up = false;
             s.circuit = CircuitState::half_open;
         }),
         Role::none, no, forced},
        {with([](Standing& s) {
             s.ready = false;
             s.up = false;
         }),
         Role::none, no, no},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(&c - cases);
        EXPECT_EQ(admit(c.standing, c.asked, false), c.normally);
        EXPECT_EQ(admit(c.standing, c.asked, true), c.in_panic);
    }
}

TEST(Availability, panic_of_one_tier) {
    struct Case {
        std::vector<Standing> tier;
        double threshold;
        bool panic;
    };
    const Case cases[] = {
        {{}, 0.5, false},
        {{well}, 0.5, false},
        {{down}, 0.5, true},
        {{down}, 0, false},
        {{down}, 0.001, true},
        {{well, down}, 0.5, false},  // exactly: not below
        {{well, down}, 0.51, true},
        {{well, down, down}, 0.5, true},
        {{well, well, well, down, down, down, down, down, down, down}, 0.3, false},
        {{well, open}, 0.5, false},
        {{well, open, half_open}, 0.5, true},  // half-open fails here
        {{half_open}, 0.5, true},
        {{well, not_ready, not_ready}, 0.5, false},  // do not count
        {{not_ready}, 0.5, false},
        {{weightless, down, well}, 0.5, false},
        {{pending}, 0.5, false},  // nobody to be forced
        {{well, pending, pending}, 0.5, false},
        {{well, pending, down}, 0.5, true},  // pending ones fail
        {{down, down}, 1, true},
        {{well, well}, 1, false},
    };
    for (const Case& c : cases) {
        SCOPED_TRACE(&c - cases);
        TierBook book(c.threshold);
        for (const Standing& standing : c.tier) book.add(standing);
        EXPECT_EQ(book.in_panic(0, Role::none), c.panic);
        EXPECT_EQ(book.any_in_panic(Role::none), c.panic);
        EXPECT_EQ(book.tiers_in_panic(Role::none).size(), c.panic ? 1U : 0U);
    }
}

TEST(Availability, each_tier_and_role_panics_alone) {
    TierBook book(0.5);
    const auto in = [](Standing standing, std::uint32_t tier, Role role) {
        standing.tier = tier;
        standing.role = role;
        return standing;
    };
    book.add(in(down, 0, Role::primary));
    book.add(in(well, 0, Role::replica));
    book.add(in(well, 0, Role::replica));
    book.add(in(down, 7, Role::replica));
    EXPECT_TRUE(book.in_panic(0, Role::primary));
    EXPECT_FALSE(book.in_panic(0, Role::replica));
    EXPECT_FALSE(book.in_panic(0, Role::none));
    // One without any that is well leaves the clients to one that has some.
    EXPECT_FALSE(book.in_panic(7, Role::replica));
    EXPECT_FALSE(book.in_panic(7, Role::none));
    book.add(in(well, 7, Role::replica));
    book.add(in(down, 7, Role::replica));
    EXPECT_TRUE(book.in_panic(7, Role::replica));
    EXPECT_TRUE(book.in_panic(7, Role::none));
    EXPECT_FALSE(book.in_panic(3, Role::none));
    EXPECT_EQ(book.candidates(Role::replica), 5U);
}

// The definition, word for word, over a list.
struct Oracle {
    double threshold;
    std::vector<Standing> all;

    [[nodiscard]] static bool right(const Standing& s, Role asked) {
        return s.ready && s.weight > 0 && (asked == Role::none || s.role == asked);
    }
    [[nodiscard]] bool panics(std::uint32_t tier, Role asked) const {
        double candidates = 0;
        double healthy = 0;
        bool somebody_to_force = false;
        for (const Standing& s : all) {
            if (s.tier != tier || !right(s, asked)) continue;
            ++candidates;
            const bool is_healthy = s.up && s.circuit == CircuitState::closed;
            if (is_healthy) ++healthy;
            somebody_to_force |= !is_healthy && !s.pending;
        }
        if (healthy == 0 && std::ranges::any_of(all, [&](const Standing& s) {
                return right(s, asked) && s.up && s.circuit == CircuitState::closed;
            }))
            return false;  // there is a back-up
        return candidates > 0 && somebody_to_force && healthy / candidates < threshold;
    }
    [[nodiscard]] Admission admits(const Standing& s, Role asked) const {
        const bool usable = s.up && s.circuit != CircuitState::open;
        const bool healthy = s.up && s.circuit == CircuitState::closed;
        if (!right(s, asked) || s.pending) return {};
        if (panics(s.tier, asked)) return {.available = true, .forced = !healthy};
        return {.available = usable};
    }
    [[nodiscard]] std::ptrdiff_t available(Role asked) const {
        return std::ranges::count_if(all,
                                     [&](const Standing& s) { return admits(s, asked).available; });
    }
};

Standing random_standing(Random& random) {
    Standing s{.ready = random.below(5) != 0,
               .weight = random.below(4),
               .tier = random.below(3) * 1000,
               .up = random.below(2) == 0,
               .pending = false,
               .circuit = static_cast<CircuitState>(random.below(3)),
               .role = static_cast<Role>(random.below(role_count))};
    if (!s.up) s.pending = random.below(3) == 0;
    return s;
}

TEST(Availability, counts_agree_with_the_definition) {
    Random random(3);
    for (const double threshold : {0.0, 0.3, 0.5, 0.75, 1.0}) {
        TierBook book(threshold);
        Oracle oracle{threshold, {}};
        const auto panics = [&] {
            std::vector<bool> found;
            for (const std::uint32_t tier : {0U, 1000U, 2000U})
                for (const Role role : all_roles) found.push_back(oracle.panics(tier, role));
            return found;
        };
        for (int n = 0; n < 3000; ++n) {
            const Standing fresh = random_standing(random);
            const auto at = oracle.all.empty()
                                ? 0
                                : random.below(static_cast<std::uint32_t>(oracle.all.size()));
            if (oracle.all.size() < 4 || (oracle.all.size() < 12 && random.below(3) == 0)) {
                book.add(fresh);
                oracle.all.push_back(fresh);
            } else if (random.below(3) == 0) {
                book.remove(oracle.all[at]);
                oracle.all.erase(oracle.all.begin() + at);
            } else {
                const auto before = panics();
                const bool flipped = book.replace(oracle.all[at], fresh);
                oracle.all[at] = fresh;
                ASSERT_EQ(flipped, before != panics());
            }
            for (const Role role : all_roles) {
                ASSERT_EQ(book.available(role), oracle.available(role));
                ASSERT_EQ(book.any_available(role), oracle.available(role) > 0);
                for (const std::uint32_t tier : {0U, 1000U, 2000U})
                    ASSERT_EQ(book.in_panic(tier, role), oracle.panics(tier, role));
                for (const Standing& s : oracle.all)
                    ASSERT_EQ(book.admit(s, role), oracle.admits(s, role));
            }
        }
    }
}

}  // namespace
}  // namespace penstock::health
