#include "config/peers.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "config/peer_file.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

TEST(ConfigPeers, NetworksUnixAndAll) {
    PeerList peers;
    for (const auto* text : {"10.0.0.0/8", "unix", "2001:db8::1", "all"})
        ASSERT_TRUE(add_peer(peers, text)) << text;
    EXPECT_TRUE(peers.unix_peers);
    EXPECT_TRUE(peers.all);
    EXPECT_EQ(format_peers(peers),
              (std::vector<std::string>{"10.0.0.0/8", "2001:db8::1/128", "unix", "all"}));
}

TEST(ConfigPeers, ErrorsSayWhatToWrite) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "is empty"},
        {"*", "for every peer write \"all\""},
        {"any", "for every peer write \"all\""},
        {"All", "for every peer write \"all\""},
        {"UNIX", "for every unix peer write \"unix\""},
        {"unix:/run/a.sock", "for every unix peer write \"unix\""},
        {"10.0.0.1:80", "has a port; peers are networks: \"10.0.0.1\""},
        {"[::1]:80", "has brackets"},
        {"[::1]", "has brackets"},
        {"!10.0.0.1", "cannot be negated; use allow and deny"},
        {"10.0.0.0-10.0.0.255", "is a range; write it as networks"},
        {"localhost", "is no peer: this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0.1/33", "is no peer: the length after '/' is above 32"},
        {"10.0.0.1/8", "is no peer: it has bits set behind the prefix; the network is 10.0.0.0/8"},
    };
    for (const auto& [text, expected] : rows) {
        PeerList peers;
        const auto added = add_peer(peers, text);
        ASSERT_FALSE(added) << text;
        EXPECT_NE(added.error().find(expected), std::string::npos) << text << ": " << added.error();
        EXPECT_TRUE(peers.empty()) << text;
    }
}

TEST(ConfigPeerFile, LinesCommentsAndEnds) {
    const auto file = parse_peer_file(
        "\xEF\xBB\xBF# the office\r\n"
        "10.0.0.0/8\r\n"
        "\r\n"
        "  \t2001:db8::/32 \t # a comment\n"
        "unix#no blank\n"
        "\n"
        "#10.0.0.1/8\n"
        "192.168.0.1");
    EXPECT_TRUE(file.errors.empty()) << file.errors[0].message;
    EXPECT_EQ(format_peers(file.peers),
              (std::vector<std::string>{"10.0.0.0/8", "2001:db8::/32", "192.168.0.1/32", "unix"}));
    EXPECT_TRUE(parse_peer_file("").peers.empty());
    EXPECT_TRUE(parse_peer_file("\n\r\n# x").peers.empty());
    EXPECT_TRUE(parse_peer_file("all\n").peers.all);
}

TEST(ConfigPeerFile, EveryWrongLineHasItsPlace) {
    struct Row {
        std::string_view text;
        std::uint32_t line, column, length;
        std::string_view message;
    };
    const Row rows[] = {
        {"10.0.0.1/8", 1, 1, 10,
         "'10.0.0.1/8' is no peer: it has bits set behind the prefix; the network is 10.0.0.0/8"},
        {"unix\r\n\r\n  host # x\r\n", 3, 3, 4,
         "'host' is no peer: this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0.1 10.0.0.2", 1, 1, 17,
         "'10.0.0.1 10.0.0.2' is more than one peer; a line has one"},
        {"10.0.0.1,10.0.0.2", 1, 1, 17,
         "'10.0.0.1,10.0.0.2' is more than one peer; a line has one"},
        {"\t10.0.0.1;", 1, 2, 9, "'10.0.0.1;' is more than one peer; a line has one"},
        {"\xC3\xA4", 1, 1, 1, "'\xC3\xA4' is no peer: this is neither an IPv4 nor an IPv6 address"},
        {"\n10.0.0.1:80", 2, 1, 11, "'10.0.0.1:80' has a port; peers are networks: \"10.0.0.1\""},
    };
    for (const auto& row : rows) {
        const auto file = parse_peer_file(row.text);
        ASSERT_EQ(file.errors.size(), 1U) << row.text;
        const auto& error = file.errors[0];
        EXPECT_EQ(error.line, row.line) << row.text;
        EXPECT_EQ(error.column, row.column) << row.text;
        EXPECT_EQ(error.length, row.length) << row.text;
        EXPECT_EQ(error.message, row.message);
    }
    const auto mixed = parse_peer_file("x\nunix\ny\n");
    EXPECT_EQ(mixed.errors.size(), 2U);
    EXPECT_TRUE(mixed.peers.unix_peers) << "lines that are right count";
}

TEST(ConfigPeerFile, AHundredThousandLines) {
    std::string text;
    for (std::uint32_t i = 0; i < 100'000; ++i)
        text += "10." + std::to_string(i / 65536) + '.' + std::to_string(i / 256 % 256) + '.' +
                std::to_string(i % 256) + "/32 # entry\r\n";
    const auto start = std::chrono::steady_clock::now();
    const auto file = parse_peer_file(text);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10))
        << "the time grows with the square of the length";
    EXPECT_TRUE(file.errors.empty());
    ASSERT_EQ(file.peers.prefixes.size(), 100'000U);
    EXPECT_EQ(file.peers.prefixes.back().to_string(), "10.1.134.159/32");
}

TEST(ConfigPeerFile, IsReadWhileRunning) {
    const testing::TemporaryDirectory directory;
    const auto path = directory.write("allow", "10.0.0.0/8\nunix\n");
    const auto peers = read_peer_file(path);
    ASSERT_TRUE(peers) << format(peers.error());
    EXPECT_EQ(format_peers(*peers), (std::vector<std::string>{"10.0.0.0/8", "unix"}));

    directory.write("allow", "10.0.0.0/8\n  10.0.0.1/8\n");
    const auto wrong = read_peer_file(path);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(format(wrong.error()),
              path +
                  ":2:3: error: '10.0.0.1/8' is no peer: it has bits set behind the prefix; the "
                  "network is 10.0.0.0/8\n"
                  "    2 |   10.0.0.1/8\n"
                  "      |   ^^^^^^^^^^\n");
}

TEST(ConfigPeerFile, WhatCannotBeRead) {
    const testing::TemporaryDirectory directory;
    const auto message = [](const std::string& path) {
        const auto peers = read_peer_file(path);
        return peers ? std::string("it was read") : format(peers.error());
    };
    EXPECT_EQ(message(directory.path("none")),
              directory.path("none") + ": error: there is no such file\n");
    EXPECT_EQ(message(directory.path("")),
              directory.path("") + ": error: is a directory, not a file\n");
    const auto open = directory.write("open", "unix\n");
    std::filesystem::permissions(open, std::filesystem::perms(0666));
    EXPECT_EQ(message(open),
              open +
                  ": error: can be written by every user of this machine; take that away: chmod "
                  "o-w\n");
}

TEST(ConfigPeerFile, ManyWrongLinesAreSummedUp) {
    const testing::TemporaryDirectory directory;
    std::string text;
    for (int i = 0; i < 500; ++i) text += "<html>\n";
    const auto peers = read_peer_file(directory.write("page", text));
    ASSERT_FALSE(peers);
    ASSERT_EQ(peers.error().size(), 21U);
    EXPECT_EQ(peers.error()[0].message, "480 more lines are wrong; is this a list of networks?");
    EXPECT_EQ(peers.error()[20].line, 20U);
}

}  // namespace
}  // namespace penstock::config
