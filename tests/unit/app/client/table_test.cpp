#include "app/client/table.hpp"

#include <gtest/gtest.h>

#include "app/client/terminal.hpp"
#include "app/client/text.hpp"

namespace penstock::app::client {
namespace {

Table sample() {
    Table table({{"NAME"},
                 {"COUNT", Align::right},
                 {.title = "ADDRESS", .shrinks = true},
                 {.title = "ROLE", .optional = true}});
    table.add({{"a"}, {"1,234"}, {"10.0.0.1:8080"}});
    table.add({{"名"}, {"7", Style::bad}, {"[2001:db8::1]:8080"}, {"-"}});
    return table;
}

TEST(ClientTable, columns_are_aligned_and_empty_optional_ones_left_out) {
    EXPECT_EQ(sample().text({}),
              "NAME  COUNT  ADDRESS\n"
              "a     1,234  10.0.0.1:8080\n"
              "名        7  [2001:db8::1]:8080\n");
}

TEST(ClientTable, colours_do_not_count) {
    EXPECT_EQ(sample().text({.width = 0, .colour = true}),
              "\x1b[1mNAME\x1b[0m  \x1b[1mCOUNT\x1b[0m  \x1b[1mADDRESS\x1b[0m\n"
              "a     1,234  10.0.0.1:8080\n"
              "名        \x1b[1;31m7\x1b[0m  [2001:db8::1]:8080\n");
}

TEST(ClientTable, a_narrow_canvas_shrinks_what_may_shrink_first) {
    EXPECT_EQ(sample().text({.width = 24}),
              "NAME  COUNT  ADDRESS\n"
              "a     1,234  10.0.0.1:8…\n"
              "名        7  [2001:db8:…\n");
}

TEST(ClientTable, no_line_is_wider_than_the_canvas) {
    for (std::size_t width = 1; width < 40; ++width)
        for (const auto& line : sample().lines({.width = width}))
            EXPECT_LE(display_width(line), width) << line;
}

TEST(ClientTable, a_line_is_cut_where_the_canvas_ends) {
    EXPECT_EQ(line_of({{"one"}, {""}, {"two"}}, {}), "one two");
    EXPECT_EQ(line_of({{"one"}, {"two"}}, {.width = 6}), "one t…");
}

TEST(ClientTerminal, colours_are_for_terminals_that_want_them) {
    EXPECT_TRUE(wants_colour(true, nullptr, "xterm"));
    EXPECT_TRUE(wants_colour(true, "", "xterm")) << "an empty NO_COLOR is none";
    EXPECT_FALSE(wants_colour(true, "1", "xterm"));
    EXPECT_FALSE(wants_colour(false, nullptr, "xterm"));
    EXPECT_FALSE(wants_colour(true, nullptr, "dumb"));
    EXPECT_FALSE(wants_colour(true, nullptr, nullptr));
}

TEST(ClientTerminal, only_lines_that_changed_are_drawn) {
    EXPECT_EQ(redraw({}, {"a", "b"}), "\x1b[1;1Ha\x1b[K\x1b[2;1Hb\x1b[K\x1b[3;1H\x1b[J");
    EXPECT_EQ(redraw({"a", "b"}, {"a", "b"}), "");
    EXPECT_EQ(redraw({"a", "b"}, {"a", "c"}), "\x1b[2;1Hc\x1b[K");
    EXPECT_EQ(redraw({"a", "b"}, {"a"}), "\x1b[2;1H\x1b[J");
}

}  // namespace
}  // namespace penstock::app::client
