#include "balancer/bitmap.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/random.hpp"

namespace penstock::balancer {
namespace {

class BitmapSizes : public ::testing::TestWithParam<std::size_t> {};

TEST_P(BitmapSizes, behaves_as_a_set_of_indices) {
    const std::size_t size = GetParam();
    Bitmap bitmap(size);
    std::set<std::size_t> model;
    Random random(size + 1);
    for (int step = 0; step < 2000; ++step) {
        const std::size_t i = random.below(static_cast<std::uint32_t>(size));
        if (random.below(2) == 0) {
            bitmap.set(i);
            model.insert(i);
        } else {
            bitmap.reset(i);
            model.erase(i);
        }
        const std::size_t begin = random.below(static_cast<std::uint32_t>(size + 1));
        const std::size_t end = begin + random.below(static_cast<std::uint32_t>(size - begin + 1));
        const auto next = model.lower_bound(begin);
        const std::size_t expected = next == model.end() || *next >= end ? end : *next;
        ASSERT_EQ(bitmap.find_next(begin, end), expected);
        ASSERT_EQ(bitmap.any_in(begin, end), expected != end);
        ASSERT_EQ(bitmap.count(), model.size());
        ASSERT_EQ(bitmap.any(), !model.empty());
        ASSERT_EQ(bitmap.test(i), model.contains(i));
        std::vector<std::size_t> seen;
        for (const auto one : bitmap.ones(begin, end)) seen.push_back(one);
        ASSERT_EQ(seen, std::vector<std::size_t>(next, model.lower_bound(end)));
    }
}

INSTANTIATE_TEST_SUITE_P(, BitmapSizes, ::testing::Values(1, 2, 63, 64, 65, 127, 128, 129, 1000));

TEST(Bitmap, empty_has_nothing_to_find) {
    const Bitmap empty;
    EXPECT_EQ(empty.size(), 0U);
    EXPECT_FALSE(empty.any());
    EXPECT_EQ(empty.count(), 0U);
    EXPECT_EQ(empty.find_next(0, 0), 0U);
    for ([[maybe_unused]] const auto i : empty.ones(0, 0)) FAIL();
}

TEST(Bitmap, and_not_treats_missing_bits_of_the_second_as_clear) {
    Bitmap from(200);
    for (const std::size_t i : {0U, 63U, 64U, 130U, 199U}) from.set(i);
    Bitmap without(100);
    without.set(63);
    Bitmap result(200);
    result.set(7);

    result.assign_and_not(from, without);
    EXPECT_EQ(result.count(), 4U);
    EXPECT_FALSE(result.test(63));
    EXPECT_FALSE(result.test(7));

    result.assign_and_not(from, Bitmap{});
    EXPECT_EQ(result.count(), 5U);

    EXPECT_TRUE(from.any_and_not(without));
    EXPECT_FALSE(from.any_and_not(from));
    EXPECT_FALSE(Bitmap(100).any_and_not(Bitmap{}));
}

TEST(Bitmap, copies_are_independent_and_moves_leave_nothing) {
    for (const std::size_t size : {100U, 300U}) {
        Bitmap one(size);
        one.set(size - 1);
        Bitmap two = one;
        two.set(0);
        EXPECT_FALSE(one.test(0));
        EXPECT_TRUE(two.test(size - 1));

        const Bitmap three = std::move(two);
        EXPECT_EQ(three.count(), 2U);
        EXPECT_EQ(two.size(), 0U);  // NOLINT(bugprone-use-after-move): that is the contract
        EXPECT_FALSE(two.any());

        one = {};
        EXPECT_EQ(one.size(), 0U);
        one = three;
        EXPECT_EQ(one.count(), 2U);
    }
}

TEST(Bitmap, stretches_cover_exactly_the_set_bits_of_a_range) {
    Random random(8);
    for (int step = 0; step < 300; ++step) {
        const std::size_t size = 1 + random.below(300);
        Bitmap bitmap(size);
        // Long runs and gaps, so that whole words occur of either kind.
        bool on = false;
        for (std::size_t i = 0; i < size; ++i) {
            if (random.below(40) == 0) on = !on;
            if (on) bitmap.set(i);
        }
        const std::size_t begin = random.below(static_cast<std::uint32_t>(size) + 1);
        const std::size_t end = begin + random.below(static_cast<std::uint32_t>(size - begin) + 1);
        std::vector<bool> seen(size);
        std::size_t after = begin;
        bitmap.for_each_stretch(begin, end, [&](std::size_t first, std::size_t last) {
            EXPECT_LT(first, last);
            EXPECT_TRUE(first >= after && last <= end);
            EXPECT_TRUE(first == begin || first % 64 == 0 || !bitmap.test(first - 1))
                << "starts within a run";
            after = last;
            for (std::size_t i = first; i < last; ++i) seen[i] = true;
        });
        for (std::size_t i = 0; i < size; ++i)
            ASSERT_EQ(seen[i], i >= begin && i < end && bitmap.test(i));
    }
}

}  // namespace
}  // namespace penstock::balancer
