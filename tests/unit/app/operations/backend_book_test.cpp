#include "app/operations/backend_book.hpp"

#include <gtest/gtest.h>

#include "app/operations/apportion.hpp"
#include "base/random.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {
namespace {

using std::chrono::minutes;

std::shared_ptr<balancer::Backend> backend(const std::string& name) {
    return std::make_shared<balancer::Backend>("web", name, *Endpoint::parse("10.0.0.1:80"));
}

class Book : public testing::Test {
protected:
    [[nodiscard]] std::uint64_t established(const std::string& name) const {
        return book.totals("web", name).established;
    }
    void follow(std::vector<std::shared_ptr<balancer::Backend>> backends) {
        book.follow("web", {backends.begin(), backends.end()}, now);
    }

    TimePoint now{std::chrono::hours(1)};
    BackendBook book{[](const balancer::Backend& b) { return proxy::backend_totals(b); }};
};

TEST_F(Book, M8_a_backend_that_comes_again_goes_on_where_it_ended) {
    const auto first = backend("a");
    follow({first});
    first->cells(0).established.add(7);
    EXPECT_EQ(established("a"), 7U);
    const auto second = backend("a");
    follow({second});
    EXPECT_EQ(established("a"), 7U);
    second->cells(0).established.add(2);
    EXPECT_EQ(established("a"), 9U);
}

TEST_F(Book, M8_a_backend_that_comes_back_as_the_same_object_counts_once) {
    const auto first = backend("a");
    follow({first});
    first->session_started();
    first->cells(0).established.add(7);
    follow({});
    follow({first});
    EXPECT_EQ(established("a"), 7U);
    EXPECT_EQ(book.left_sessions("web", "a"), 0U);
}

TEST_F(Book, M8_whoever_learns_late_that_a_backend_left_still_counts) {
    auto first = backend("a");
    follow({first});
    follow({});
    now += minutes(10);
    follow({backend("a")});
    first->cells(0).established.add(7);  // nobody had a session there meanwhile
    EXPECT_EQ(established("a"), 7U);
    first.reset();
    follow({});
    EXPECT_EQ(established("a"), 7U);
}

TEST_F(Book, M8_sessions_that_outlive_their_backend_still_count) {
    const auto first = backend("a");
    first->session_started();
    follow({first});
    follow({});
    now += minutes(10);
    follow({});
    first->cells(0).bytes_to_client.add(100);
    EXPECT_EQ(book.totals("web", "a").bytes_to_client, 100U);
    EXPECT_EQ(book.departed("web"), std::vector<std::string>{"a"});
    first->session_ended();
    follow({});
    EXPECT_EQ(book.totals("web", "a").bytes_to_client, 100U);
}

TEST_F(Book, M6_what_is_gone_is_forgotten_five_minutes_later) {
    follow({backend("a"), backend("b")});
    follow({backend("b")});
    now += BackendBook::remembered - minutes(1);
    follow({backend("b")});
    EXPECT_EQ(book.departed("web"), std::vector<std::string>{"a"});
    now += minutes(1);
    follow({backend("b")});
    EXPECT_TRUE(book.departed("web").empty());
    EXPECT_EQ(book.pace("web", "a"), nullptr);
    EXPECT_NE(book.pace("web", "b"), nullptr);
}

TEST_F(Book, M8_backends_of_an_upstream_that_left_count_until_their_last_session_has_ended) {
    auto first = backend("a");
    const auto other =
        std::make_shared<balancer::Backend>("api", "a", *Endpoint::parse("10.0.0.2:80"));
    first->session_started();
    follow({first});
    book.follow("api", {other}, now);
    first->cells(0).established.add(7);
    book.follow_only({"api"}, now);
    EXPECT_EQ(book.departed("web"), std::vector<std::string>{"a"});
    EXPECT_TRUE(book.departed("api").empty());
    EXPECT_EQ(book.left_sessions("web", "a"), 1U);
    EXPECT_EQ(established("a"), 7U);
    now += minutes(10);
    first->cells(0).bytes_to_client.add(100);
    book.follow_only({"api"}, now);
    EXPECT_EQ(book.totals("web", "a").bytes_to_client, 100U);
    first->session_ended();
    first.reset();
    book.follow_only({"api"}, now);
    EXPECT_EQ(book.left_sessions("web", "a"), 0U);
    EXPECT_EQ(established("a"), 7U);
    // The name comes back in time.
    now += BackendBook::remembered - minutes(1);
    auto second = backend("a");
    follow({second});
    second->cells(0).established.add(2);
    EXPECT_EQ(established("a"), 9U);
    second.reset();
    book.follow_only({}, now);
    now += BackendBook::remembered;
    book.follow_only({}, now);
    EXPECT_TRUE(book.departed("web").empty());
    EXPECT_EQ(established("a"), 0U);
}

TEST_F(Book, M8_random_comings_and_goings_never_take_a_count_back) {
    Random random(1);
    std::vector<std::shared_ptr<balancer::Backend>> present;
    std::uint64_t last = 0;
    std::uint64_t made = 0;
    for (int i = 0; i < 2000; ++i) {
        now += std::chrono::seconds(1);
        if (random.unit() < 0.3) present.clear();
        if (present.empty() && random.unit() < 0.7) present.push_back(backend("a"));
        follow(present);
        if (!present.empty()) {
            present.front()->cells(0).established.add(3);
            made += 3;
        }
        ASSERT_GE(established("a"), last);
        ASSERT_EQ(established("a"), made);
        last = established("a");
    }
}

TEST(Apportion, shares_exactly_and_never_more_than_there_is) {
    EXPECT_EQ(apportion({}, 5), std::vector<std::size_t>{});
    EXPECT_EQ(apportion({0, 0}, 5), (std::vector<std::size_t>{0, 0}));
    EXPECT_EQ(apportion({10, 10}, 5), (std::vector<std::size_t>{3, 2}));
    EXPECT_EQ(apportion({1, 2, 3}, 100), (std::vector<std::size_t>{1, 2, 3}));
    Random random(2);
    for (int i = 0; i < 2000; ++i) {
        std::vector<std::size_t> counts(1 + random.next() % 6);
        std::uint64_t all = 0;
        for (auto& count : counts) all += count = random.next() % 50;
        const std::uint64_t total = random.next() % 300;
        const auto parts = apportion(counts, total);
        std::uint64_t sum = 0;
        for (std::size_t p = 0; p < parts.size(); ++p) {
            ASSERT_LE(parts[p], counts[p]);
            sum += parts[p];
        }
        ASSERT_EQ(sum, std::min(all, total));
    }
}

}  // namespace
}  // namespace penstock::app
