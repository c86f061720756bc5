#include "config/quantity.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace penstock::config {
namespace {

using namespace std::chrono_literals;

TEST(ConfigQuantity, Sizes) {
    const std::pair<std::string_view, std::uint64_t> rows[] = {
        {"0B", 0},
        {"250B", 250},
        {"64KiB", 65536},
        {"1MiB", 1U << 20U},
        {"2GiB", 2ULL << 30U},
        {"0016KiB", 16384},
        {"1048576GiB", largest_size},
        {"1125899906842624B", largest_size},
    };
    for (const auto& [text, bytes] : rows) {
        ASSERT_TRUE(parse_size(text)) << text << ": " << parse_size(text).error();
        EXPECT_EQ(*parse_size(text), bytes) << text;
        EXPECT_EQ(parse_size(format_size(bytes)), bytes) << text;
    }
    EXPECT_EQ(format_size(0), "0B");
    EXPECT_EQ(format_size(1023), "1023B");
    EXPECT_EQ(format_size(1024), "1KiB");
    EXPECT_EQ(format_size(1536), "1536B");
    EXPECT_EQ(format_size(3U << 20U), "3MiB");
}

TEST(ConfigQuantity, SizeErrorsSayWhatToWrite) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "is no size; write a number and a unit: \"64KiB\""},
        {"KiB", "is no size"},
        {" 5KiB", "is no size"},
        {"-1KiB", "is negative"},
        {"5", "has no unit: \"5KiB\"?"},
        {"1.5MiB", "is not a whole number"},
        {"64KB", "did you mean \"64KiB\"?"},
        {"64kib", "did you mean \"64KiB\"?"},
        {"64k", "did you mean \"64KiB\"?"},
        {"64M", "did you mean \"64MiB\"?"},
        {"5b", "did you mean \"5B\"?"},
        {"5 KiB", "has the unknown unit ' KiB'"},
        {"5TiB", "has the unknown unit 'TiB'"},
        {"10Mbit", "counts bits"},
        {"1048577GiB", "is above 1048576GiB"},
        {"99999999999999999999999B", "is above 1048576GiB"},
        {"18446744073709551616GiB", "is above 1048576GiB"},
    };
    for (const auto& [text, expected] : rows) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_NE(size.error().find(expected), std::string::npos) << text << ": " << size.error();
    }
}

TEST(ConfigQuantity, ByteRates) {
    EXPECT_EQ(parse_byte_rate("1MiB/s"), 1U << 20U);
    EXPECT_EQ(parse_byte_rate("250B/s"), 250U);
    EXPECT_EQ(parse_byte_rate("1B/s"), 1U);
    EXPECT_EQ(format_byte_rate(0), "");
    EXPECT_EQ(format_byte_rate(1536), "1536B/s");
    EXPECT_EQ(format_byte_rate(2048), "2KiB/s");
}

TEST(ConfigQuantity, ByteRateErrorsSayWhatToWrite) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "for no limit write \"\""},
        {"off", "for no limit write \"\""},
        {"Unlimited", "for no limit write \"\""},
        {"0B/s", "for no limit write \"\""},
        {"0KiB/s", "for no limit write \"\""},
        {"fast", "write bytes per second: \"1MiB/s\""},
        {"-1B/s", "is negative"},
        {"1MiB", "says not in which time; write \"1MiB/s\""},
        {"1MiB/m", "is no rate per second; write \"1MiB/s\""},
        {"1MiB/", "is no rate per second; write \"1MiB/s\""},
        {"1MiB/s ", "is no rate per second"},
        {"1000/s", "has no unit: \"1000KiB\"?"},
        {"1MB/s", "did you mean \"1MiB\"?"},
        {"10Mbit/s", "counts bits"},
        {"10Mbps", "counts bits"},
        {"9999999GiB/s", "is above"},
    };
    for (const auto& [text, expected] : rows) {
        const auto rate = parse_byte_rate(text);
        ASSERT_FALSE(rate) << text;
        EXPECT_NE(rate.error().find(expected), std::string::npos) << text << ": " << rate.error();
    }
}

TEST(ConfigQuantity, Rates) {
    const std::pair<std::string_view, Rate> rows[] = {
        {"100/s", {.amount = 100, .per = 1s, .burst = 100}},
        {"10/m", {.amount = 10, .per = 1min, .burst = 10}},
        {"1/h", {.amount = 1, .per = 1h, .burst = 1}},
        {"10/m burst 20", {.amount = 10, .per = 1min, .burst = 20}},
        {"10/m burst 1", {.amount = 10, .per = 1min, .burst = 1}},
        {"1000000000/s burst 1000000000",
         {.amount = 1'000'000'000, .per = 1s, .burst = 1'000'000'000}},
    };
    for (const auto& [text, expected] : rows) {
        const auto rate = parse_rate(text);
        ASSERT_TRUE(rate) << text << ": " << rate.error();
        EXPECT_EQ(*rate, expected) << text;
        EXPECT_EQ(parse_rate(format_rate(expected)), expected) << text;
    }
    EXPECT_EQ(format_rate({}), "");
    EXPECT_EQ(format_rate({.amount = 10, .per = 1min, .burst = 10}), "10/m");
    EXPECT_EQ(format_rate({.amount = 10, .per = 1h, .burst = 20}), "10/h burst 20");
}

TEST(ConfigQuantity, RateErrorsSayWhatToWrite) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "for no limit write \"\""},
        {"0", "for no limit write \"\""},
        {"none", "for no limit write \"\""},
        {"0/s", "for no limit write \"\""},
        {"0/m burst 5", "would let nobody in; for no limit write \"\""},
        {"-1/s", "is negative"},
        {"/s", "is no rate; write for example \"100/s\""},
        {"many", "is no rate; write for example \"100/s\""},
        {" 1/s", "is no rate; write for example"},
        {"100", "has no unit: \"100/s\"?"},
        {"1.5/s", "is not a whole number; take a longer unit"},
        {"10r/s", "did you mean \"10/s\"?"},
        {"10r/m", "did you mean \"10/m\"?"},
        {"10/sec", "did you mean \"10/s\"?"},
        {"10/min", "did you mean \"10/m\"?"},
        {"10/hour", "did you mean \"10/h\"?"},
        {"10/1s", "did you mean \"10/s\"?"},
        {"10/S", "did you mean \"10/s\"?"},
        {"10/d", "has the unknown unit 'd'; it is a number per s, m or h"},
        {"10/ms", "has the unknown unit 'ms'"},
        {"10/", "has the unknown unit ''"},
        {"10 per second", "is no rate; it is a number per s, m or h: \"10/s\""},
        {"10/s burst", "goes on with ' burst'"},
        {"10/s burst ", "goes on with ' burst '"},
        {"10/s burst x", "goes on with ' burst x'"},
        {"10/s burst 5 ", "goes on with"},
        {"10/s burst -5", "goes on with"},
        {"10/s  burst 5", "goes on with"},
        {"10/s burst=5", "goes on with"},
        {"10/s ", "goes on with ' '"},
        {"10/s burst 0", "has burst 0"},
        {"1000000001/s", "is out of range: numbers go up to 1000000000"},
        {"10/s burst 1000000001", "is out of range"},
        {"18446744073709551617/s", "is out of range"},
        {"10/s burst 99999999999999999999999", "is out of range"},
    };
    for (const auto& [text, expected] : rows) {
        const auto rate = parse_rate(text);
        ASSERT_FALSE(rate) << text;
        EXPECT_NE(rate.error().find(expected), std::string::npos) << text << ": " << rate.error();
    }
}

}  // namespace
}  // namespace penstock::config
