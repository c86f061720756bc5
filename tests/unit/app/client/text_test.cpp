#include "app/client/text.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace penstock::app::client {
namespace {

TEST(ClientText, what_a_terminal_would_act_on_is_escaped) {
    EXPECT_EQ(sanitised("plain é 名"), "plain é 名");
    EXPECT_EQ(sanitised("\x1b]0;x\x07"), "\\x1b]0;x\\x07");
    EXPECT_EQ(sanitised("a\nb\tc"), "a\\x0ab\\x09c");
    EXPECT_EQ(sanitised("\xc2\x9b"), "\\xc2\\x9b") << "C1, which some terminals obey";
    EXPECT_EQ(sanitised("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "turns the direction of writing";
    EXPECT_EQ(sanitised("\xff"), "\\xff");
    EXPECT_EQ(sanitised(sanitised("\x1b")), sanitised("\x1b"));
}

TEST(ClientText, width_counts_columns) {
    EXPECT_EQ(display_width("abc"), 3U);
    EXPECT_EQ(display_width("é"), 1U);
    EXPECT_EQ(display_width("e\u0301"), 1U);
    EXPECT_EQ(display_width("名前"), 4U);
}

TEST(ClientText, cutting_leaves_a_sign_and_never_exceeds) {
    EXPECT_EQ(cut_to("abcdef", 6), "abcdef");
    EXPECT_EQ(cut_to("abcdef", 4), "abc…");
    EXPECT_EQ(cut_to("名前です", 4), "名…") << "the second one would need the last column";
    EXPECT_EQ(cut_to("abc", 1), "…");
    EXPECT_EQ(cut_to("abc", 0), "");
}

TEST(ClientText, figures) {
    EXPECT_EQ(format_figure(0), "0");
    EXPECT_EQ(format_figure(3.14), "3.1");
    EXPECT_EQ(format_figure(3.04), "3");
    EXPECT_EQ(format_figure(9.96), "10");
    EXPECT_EQ(format_figure(29800), "29,800");
    EXPECT_EQ(format_figure(-1), "-");
    EXPECT_EQ(format_figure(std::numeric_limits<double>::infinity()), "-");
}

TEST(ClientText, bytes) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(999.7), "1 kB");
    EXPECT_EQ(format_bytes(1500), "1.5 kB");
    EXPECT_EQ(format_byte_rate(88e6), "88 MB/s");
    EXPECT_EQ(format_bytes(2.5e18), "2,500 PB");
}

TEST(ClientText, durations) {
    EXPECT_EQ(format_seconds(0), "0s");
    EXPECT_EQ(format_seconds(0.42), "0.4s");
    EXPECT_EQ(format_seconds(59.7), "1m");
    EXPECT_EQ(format_seconds(192), "3m12s");
    EXPECT_EQ(format_seconds(7500), "2h5m");
    EXPECT_EQ(format_seconds(86400.0 * 12 + 4 * 3600 + 59), "12d4h");
    EXPECT_EQ(format_milliseconds(0), "0 ms");
    EXPECT_EQ(format_milliseconds(0.234), "0.23 ms");
    EXPECT_EQ(format_milliseconds(1.08), "1.1 ms");
    EXPECT_EQ(format_milliseconds(4200), "4.2 s");
}

TEST(ClientText, times_are_shown_as_they_came) {
    EXPECT_EQ(time_of_day("2026-11-28T12:01:07.123Z"), "12:01:07");
    EXPECT_EQ(date_and_time("2026-11-28T12:01:07.123Z"), "2026-11-28 12:01:07");
    EXPECT_EQ(time_of_day("soon"), "soon");
}

}  // namespace
}  // namespace penstock::app::client
