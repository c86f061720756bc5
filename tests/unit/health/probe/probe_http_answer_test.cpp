#include "health/probe/http_answer.hpp"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace penstock::health {
namespace {

using namespace std::string_literals;

std::string answer_with(int status, const std::string& more = "Content-Length: 0\r\n\r\n") {
    return "HTTP/1.1 " + std::to_string(status) + " Reason\r\n" + more;
}

/// What is said of `bytes`, given in pieces of `piece` and followed by the server's end.
ProbeResult judge(const config::HttpCheck& settings, const std::string& bytes,
                  std::size_t piece = std::string::npos) {
    HttpAnswer answer(settings);
    for (std::size_t at = 0; at < bytes.size();) {
        const std::string part = bytes.substr(at, piece);
        if (auto verdict = answer.add(part)) return *verdict;
        at += part.size();
    }
    return answer.end("");
}

TEST(HttpAnswer, StatusWithinTheRanges) {
    config::HttpCheck settings;
    EXPECT_TRUE(judge(settings, answer_with(200)).ok);
    EXPECT_TRUE(judge(settings, answer_with(399)).ok);
    EXPECT_EQ(judge(settings, answer_with(204, "\r\n")).detail, "HTTP 204");
    EXPECT_EQ(judge(settings, answer_with(304, "\r\n")).detail, "HTTP 304");
    for (const int status : {400, 404, 500, 503}) {
        const ProbeResult result = judge(settings, answer_with(status));
        EXPECT_FALSE(result.ok);
        EXPECT_EQ(result.detail, "HTTP " + std::to_string(status));
    }
    settings.status = {{401, 401}, {503, 599}};
    EXPECT_TRUE(judge(settings, answer_with(401)).ok);
    EXPECT_TRUE(judge(settings, answer_with(503)).ok);
    EXPECT_FALSE(judge(settings, answer_with(200)).ok);
}

TEST(HttpAnswer, RolesByStatusWhetherOrNotItIsAmongTheOthers) {
    config::HttpCheck settings;
    settings.primary_status = {{200, 200}};
    settings.replica_status = {{429, 429}, {503, 503}};
    const ProbeResult primary = judge(settings, answer_with(200));
    EXPECT_TRUE(primary.ok);
    EXPECT_EQ(primary.role, Role::primary);
    const ProbeResult replica = judge(settings, answer_with(503));
    EXPECT_TRUE(replica.ok);
    EXPECT_EQ(replica.role, Role::replica);
    const ProbeResult none = judge(settings, answer_with(204, "\r\n"));
    EXPECT_TRUE(none.ok);
    EXPECT_EQ(none.role, Role::none);
    EXPECT_FALSE(judge(settings, answer_with(500)).ok);
}

TEST(HttpAnswer, HeaderIsEnoughWithoutABodyToLookAt) {
    const config::HttpCheck settings;
    HttpAnswer answer(settings);
    EXPECT_FALSE(answer.add("HTTP/1.1 200 OK\r\n"));
    EXPECT_TRUE(answer.add("Content-Length: 1073741824\r\n\r\n")->ok);
}

TEST(HttpAnswer, InterimAnswersAreSkippedAndRedirectionsAreAnswers) {
    const config::HttpCheck settings;
    const std::string interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    for (const std::size_t piece : {1U, 7U, 1000U})
        EXPECT_EQ(judge(settings, interim + answer_with(503), piece).detail, "HTTP 503");
    EXPECT_EQ(judge(settings, answer_with(302, "Location: /x\r\n\r\n")).detail, "HTTP 302");
    EXPECT_EQ(judge(settings, answer_with(101, "\r\n")).detail, "HTTP 101");
}

TEST(HttpAnswer, InterimAnswersWithoutEnd) {
    const config::HttpCheck settings;
    std::string flood;
    while (flood.size() < 2 * Probe::max_answer) flood += "HTTP/1.1 100 Continue\r\n\r\n";
    EXPECT_EQ(judge(settings, flood, 4096).detail, "answer has no end of its header within 64 KiB");
}

class HttpBody : public testing::Test {
protected:
    HttpBody() { settings.body_contains = "status: green"; }
    config::HttpCheck settings;
};

TEST_F(HttpBody, IsFoundHoweverItIsSentAndCut) {
    const std::string text = "<p>the status: green light</p>";
    const std::string sized = answer_with(200, "Content-Length: 30\r\n\r\n" + text);
    const std::string to_end = answer_with(200, "\r\n" + text);
    const std::string chunked = answer_with(
        200, "Transfer-Encoding: chunked\r\n\r\n9\r\n<p>the st\r\nb\r\natus: green\r\n0\r\n\r\n");
    for (const std::string& bytes : {sized, to_end, chunked})
        for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
            const ProbeResult result = judge(settings, bytes, piece);
            EXPECT_TRUE(result.ok) << piece << ": " << result.detail;
        }
}

TEST_F(HttpBody, ThatLacksItSaysWhat) {
    const ProbeResult result = judge(settings, answer_with(200, "Content-Length: 3\r\n\r\nred"));
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.detail, "HTTP 200, body lacks \"status: green\"");
    EXPECT_FALSE(judge(settings, answer_with(200, "\r\nstatus: gree")).ok);
    EXPECT_FALSE(judge(settings, answer_with(204, "\r\n")).ok);
}

TEST_F(HttpBody, WithoutEndIsTakenUpTo64KiB) {
    HttpAnswer answer(settings);
    std::size_t taken = 0;
    std::optional<ProbeResult> verdict =
        answer.add(answer_with(200, "Content-Length: 1073741824\r\n\r\n"));
    while (!verdict && taken < 2 * Probe::max_answer) {
        verdict = answer.add(std::string(4096, 'x'));
        taken += 4096;
    }
    ASSERT_TRUE(verdict.has_value());
    EXPECT_FALSE(verdict->ok);
    EXPECT_LE(taken, Probe::max_answer);
    EXPECT_EQ(verdict->detail, "HTTP 200, body lacks \"status: green\" in its first 64 KiB");
}

TEST_F(HttpBody, ItsSizeIsTheServersClaimOnly) {
    const ProbeResult result = judge(
        settings, answer_with(200, "Content-Length: 18446744073709551615\r\n\r\nstatus: green"));
    EXPECT_TRUE(result.ok) << result.detail;
}

TEST_F(HttpBody, KeepsTheRole) {
    settings.primary_status = {{200, 200}};
    const ProbeResult result = judge(settings, answer_with(200));
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.role, Role::primary);
}

TEST_F(HttpBody, BrokenChunks) {
    const ProbeResult result =
        judge(settings, answer_with(200, "Transfer-Encoding: chunked\r\n\r\nzz\r\nstatus: green"));
    EXPECT_FALSE(result.ok);
    EXPECT_TRUE(result.detail.starts_with("HTTP 200, body lacks")) << result.detail;
}

TEST_F(HttpBody, HeadHasNone) {
    settings.method = "HEAD";
    EXPECT_FALSE(judge(settings, answer_with(200, "Content-Length: 100\r\n\r\n")).ok);
    settings.body_contains.clear();
    EXPECT_TRUE(judge(settings, answer_with(200, "Content-Length: 100\r\n\r\n")).ok);
}

TEST(HttpAnswer, WhatIsNotHttpIsShown) {
    const config::HttpCheck settings;
    EXPECT_EQ(judge(settings, "SSH-2.0-OpenSSH_9.2\r\n").detail,
              R"(answer is not HTTP: "SSH-2.0-OpenSSH_9.2\r\n")");
    const ProbeResult tls = judge(settings, "\x15\x03\x03\x00\x02\x02\x46"s);
    EXPECT_EQ(tls.detail, R"(answer is not HTTP: "\x15\x03\x03\x00\x02\x02F")");
    EXPECT_TRUE(
        judge(settings, "HTTP/2.0 200 OK\r\n\r\n").detail.starts_with("broken HTTP answer"));
    EXPECT_FALSE(judge(settings, answer_with(99)).ok);
}

TEST(HttpAnswer, EndsTooEarly) {
    const config::HttpCheck settings;
    EXPECT_EQ(judge(settings, "").detail, "closed by the server without an answer");
    EXPECT_EQ(judge(settings, "HTTP/1.1 200 OK\r\nA: b\r\n").detail,
              R"(closed by the server: the header has not ended: "HTTP/1.1 200 OK\r\nA: b\r\n")");
    HttpAnswer answer(settings);
    EXPECT_FALSE(answer.add("HTTP/1.1 2"));
    EXPECT_EQ(answer.end("time-out after 1 s while waiting for the answer").detail,
              "time-out after 1 s while waiting for the answer: the header has not ended: "
              "\"HTTP/1.1 2\"");
}

TEST(HttpAnswer, HeaderWithoutEnd) {
    const config::HttpCheck settings;
    std::string many = "HTTP/1.1 200 OK\r\n";
    while (many.size() < 2 * Probe::max_answer) many += "X-Header: value\r\n";
    const std::string one = "HTTP/1.1 200 OK\r\nX: " + std::string(2 * Probe::max_answer, 'x');
    for (const std::string& bytes : {many, one})
        for (const std::size_t piece : {512U, 4096U, 200'000U})
            EXPECT_EQ(judge(settings, bytes, piece).detail,
                      "answer has no end of its header within 64 KiB");
    // A large one that ends is fine.
    std::string large = "HTTP/1.1 200 OK\r\n";
    while (large.size() < 40'000) large += "X-Header: value\r\n";
    EXPECT_TRUE(judge(settings, large + "\r\n", 4096).ok);
}

TEST(HttpAnswer, EveryDetailIsShortAndPrintable) {
    config::HttpCheck settings;
    settings.body_contains = std::string(1000, '\x01');
    const std::string garbage = std::string(500, '\xfe');
    for (const std::string& bytes :
         {garbage, "HTTP/1.1 " + garbage, answer_with(200, garbage), answer_with(200),
          answer_with(200, "Transfer-Encoding: chunked\r\n\r\n" + garbage)}) {
        const ProbeResult result = judge(settings, bytes);
        EXPECT_FALSE(result.ok);
        EXPECT_LE(result.detail.size(), 200U);
        for (const char c : result.detail) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << result.detail;
    }
}

}  // namespace
}  // namespace penstock::health
