#include "app/tls/ticket_key_book.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using net::tls::TicketKeys;

config::Config with_tls(const std::vector<std::string>& names) {
    config::Config config;
    for (const auto& name : names) {
        auto& listener = config.listeners.emplace_back();
        listener.name = name;
        listener.tls.emplace();
    }
    return config;
}

constexpr TimePoint now{std::chrono::hours(100)};

TEST(TicketKeyBook, T13_another_process_goes_on_with_what_one_leaves) {
    TicketKeyBook old_book;
    const auto keys = old_book.of("web");
    keys->rotate_if_due(now - TicketKeys::rotation);
    keys->rotate_if_due(now);
    ASSERT_EQ(keys->keys()->size(), 2U);
    const auto left = old_book.leave(with_tls({"web"}), now + std::chrono::hours(3));
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left.at("web").age, std::chrono::hours(3));

    TicketKeyBook book;
    book.take_over(left, now + std::chrono::hours(4));
    EXPECT_EQ(*book.of("web")->keys(), *keys->keys());
    EXPECT_EQ(book.of("web")->since(), now + std::chrono::hours(1)) << "they keep their age";
    EXPECT_NE(*book.of("other")->keys(), *keys->keys());
}

TEST(TicketKeyBook, leaves_what_is_random_and_of_a_listener_with_tls) {
    TicketKeyBook book;
    for (const char* name : {"web", "shared", "plain", "gone"}) std::ignore = book.of(name);
    book.of("shared")->use_shared({TicketKeys().keys()->front()});
    config::Config config = with_tls({"web", "shared", "plain", "never asked for"});
    config.listeners[2].tls.reset();
    const auto left = book.leave(config, now);
    ASSERT_EQ(left.size(), 1U);
    EXPECT_EQ(left.begin()->first, "web");
    EXPECT_EQ(left.begin()->second.age, Duration::zero()) << "not known yet";
}

TEST(TicketKeyBook, what_is_no_key_is_passed_over) {
    TicketKeyBook book;
    const auto before = *book.of("web")->keys();
    const std::string good(160, '7');
    for (const std::string& bad : {std::string(), std::string(159, '7'), std::string(162, '7'),
                                   "zz" + std::string(158, '7'), std::string(158, '7') + "+1"}) {
        book.take_over({{"web", {.keys = {bad}}}}, now);
        EXPECT_EQ(*book.of("web")->keys(), before) << bad;
    }
    book.take_over({{"web", {.keys = {"bad", good}}}}, now);
    ASSERT_EQ(book.of("web")->keys()->size(), 1U);
    EXPECT_EQ(net::tls::serialize_ticket_key(book.of("web")->keys()->front()),
              std::string(80, '\x77'));
}

TEST(TicketKeyBook, a_strange_age_is_none) {
    TicketKeyBook book;
    const std::string key(160, '7');
    book.take_over({{"old", {.keys = {key}, .age = std::chrono::hours(1'000'000)}},
                    {"young", {.keys = {key}, .age = -std::chrono::hours(1)}}},
                   now);
    EXPECT_EQ(book.of("old")->since(), now - TicketKeys::rotation) << "a new key is due at once";
    EXPECT_EQ(book.of("young")->since(), now);
}

}  // namespace
}  // namespace penstock::app
