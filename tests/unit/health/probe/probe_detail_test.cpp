#include "health/probe/detail.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

TEST(ProbeDetail, EscapesWhatIsNotPrintable) {
    EXPECT_EQ(escaped("PONG"), "PONG");
    EXPECT_EQ(escaped("+OK\r\n\t\0\x7f\xff"s + "a\"\\"), R"(+OK\r\n\t\x00\x7f\xffa\"\\)");
    EXPECT_EQ(quoted(""), R"("")");
}

TEST(ProbeDetail, CutsWithinTheLimitAndNeverInsideAnEscape) {
    EXPECT_EQ(escaped(std::string(60, 'x')), std::string(60, 'x'));
    EXPECT_EQ(escaped(std::string(61, 'x')), std::string(57, 'x') + "...");
    for (std::size_t limit = 4; limit < 20; ++limit) {
        const std::string text = escaped("ab\xff\n\n\xff\x01yz\x02\x03", limit);
        EXPECT_LE(text.size(), limit);
        EXPECT_TRUE(text.ends_with("..."));
        const std::string kept = text.substr(0, text.size() - 3);
        EXPECT_TRUE(std::string(R"(ab\xff\n\n\xff\x01yz)").starts_with(kept)) << text;
        EXPECT_FALSE(kept.ends_with('\\')) << text;
        EXPECT_FALSE(kept.ends_with("\\x") || kept.ends_with("\\xf")) << text;
    }
}

TEST(ProbeDetail, ResultsAreShortPrintableAndSayWhy) {
    const ProbeResult result = failure(std::string(500, 'a'));
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.detail, std::string(197, 'a') + "...");
    EXPECT_EQ(failure("a\nb\x80").detail, "a b ");
    EXPECT_FALSE(failure("").detail.empty());
    EXPECT_EQ(success("HTTP 200", Role::replica).role, Role::replica);
    EXPECT_TRUE(success("").ok);
}

TEST(ProbeDetail, DurationsInWords) {
    EXPECT_EQ(in_words(1s), "1 s");
    EXPECT_EQ(in_words(90s), "90 s");
    EXPECT_EQ(in_words(250ms), "250 ms");
    EXPECT_EQ(in_words(1500ms), "1.5 s");
    EXPECT_EQ(in_words(10us), "1 ms");
}

}  // namespace
}  // namespace penstock::health
