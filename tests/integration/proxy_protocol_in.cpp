// PROXY headers in front of a connection: whom they are taken from, what they must look like, and
// where the address that they tell of counts.
#include <gtest/gtest.h>

#include <set>

#include "tests/integration/tls_scenario.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

constexpr const char* trusting =
    "proxy_protocol = \"any\"\nproxy_protocol_from = \"127.0.0.1/32\"\n";
const std::string from = "192.0.2.7:4711";
const std::string to = "198.51.100.1:443";

struct ProxyProtocolIn : TlsScene {
    [[nodiscard]] ConfigText config(const std::string& listener = "",
                                    std::string timeouts = "") const {
        return one_service({echo.text()}, std::move(timeouts), "", trusting + listener);
    }
    /// Sends these bytes and "ping" behind them: true when the backend answers that alone.
    static bool is_served(const Address& proxy, const std::string& header,
                          const SocketOptions& options = {.source = "127.0.0.1:0"}) {
        auto socket = Socket::connect(proxy, options);
        return socket && socket->send(header + "ping") && socket->receive_text(4) == "ping";
    }
    static std::string odd(const std::string& text) {
        std::string shown;
        for (const char byte : text.substr(0, 120)) shown += byte >= ' ' && byte < 127 ? byte : '?';
        return shown;
    }
};

TEST_F(ProxyProtocolIn, P1_first_version_is_read_strictly) {
    ProxyProcess proxy(config());
    const std::string longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 ";
    const std::vector<std::string> good{
        proxy_v1(from, to),
        proxy_v1("[2001:db8::1]:1", "[2001:db8::2]:65535"),
        "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN any text may stand here\r\n",
        longest + std::string(105 - longest.size(), 'x') + "\r\n",
    };
    for (const std::string& header : good)
        EXPECT_TRUE(is_served(proxy.address(), header)) << odd(header);
    const std::vector<std::string> bad{
        "proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY TCP4\t192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY  TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 9\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n",
        "PROXY TCP4 192.0.2.007 198.51.100.1 4711 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 4711 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 4711 443\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 4711 443\r\n",
        "PROXY \r\n",
        longest + std::string(106 - longest.size(), 'x') + "\r\n",
        longest + std::string(3000, 'x'),
        "GET / HTTP/1.1\r\n\r\n",
    };
    for (const std::string& header : bad) {
        auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
        ASSERT_TRUE(socket && socket->send(header + "ping"));
        EXPECT_NE(socket->wait_end(), End::open) << odd(header);
    }
    const auto lines = expect_lines(proxy, good.size() + bad.size());
    EXPECT_EQ(std::ranges::count(lines, "proxy_header_invalid", &LogLine::reason),
              static_cast<std::ptrdiff_t>(bad.size()));
    EXPECT_EQ(echo.accepted(), good.size());
}

TEST_F(ProxyProtocolIn, P2_header_may_come_in_any_pieces) {
    ProxyProcess proxy(config("", "proxy_header = \"1m\""));
    std::size_t count = 0;
    for (const std::string& header :
         {proxy_v1(from, to), proxy_v2(from, to, {{tlv::authority, "a.example"}}, true)}) {
        const std::string all = header + "ping";
        for (std::size_t cut = 1; cut <= header.size(); ++cut, ++count) {
            auto socket =
                Socket::connect(proxy.address(), {.source = "127.0.0.1:0", .no_delay = true});
            ASSERT_TRUE(socket && socket->send(all.substr(0, cut)));
            // The second half must not be in the first segment: its arrival is seen.
            std::byte nothing;
            socket->receive({&nothing, 1}, 2ms);
            ASSERT_TRUE(socket->send(all.substr(cut)));
            EXPECT_EQ(socket->receive_text(4), "ping") << cut;
        }
        auto slow = Socket::connect(proxy.address(), {.source = "127.0.0.1:0", .no_delay = true});
        ASSERT_TRUE(slow);
        for (const char byte : header) {
            ASSERT_TRUE(slow->send({&byte, 1}));
            std::byte nothing;
            slow->receive({&nothing, 1}, 1ms);
        }
        ASSERT_TRUE(slow->send("ping"));
        EXPECT_EQ(slow->receive_text(4), "ping");
        ++count;
    }
    for (const LogLine& line : expect_lines(proxy, count)) EXPECT_EQ(line.client, from) << line.raw;
}

TEST_F(ProxyProtocolIn, P3_second_version_with_a_wrong_length_is_refused) {
    ProxyProcess proxy(config("", "proxy_header = \"5m\""));
    const std::string addresses = proxy_v2_addresses(from, to);
    const std::vector<std::string> bad{
        proxy_v2_raw(0x21, 0x11, "", 0),
        proxy_v2_raw(0x21, 0x11, addresses.substr(0, 11)),
        proxy_v2_raw(0x21, 0x21, addresses),  // IPv6 needs 36
        proxy_v2_raw(0x21, 0x21, std::string(35, '\x20')),
        proxy_v2_raw(0x21, 0x11, addresses, 65535),
        proxy_v2_raw(0x21, 0x31, std::string(215, 'u')),
    };
    for (const std::string& header : bad) {
        auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
        ASSERT_TRUE(socket && socket->send(header));
        EXPECT_NE(socket->wait_end(promptly), End::open) << odd(header);
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, bad.size()), "proxy_header_invalid"), "");
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(ProxyProtocolIn, P4_tlvs_stay_within_the_header) {
    ProxyProcess proxy(config());
    const std::string addresses = proxy_v2_addresses(from, to);
    const std::vector<std::string> bad{
        addresses + std::string("\x02", 1), addresses + std::string("\x02\x00", 2),
        addresses + std::string("\x02\x00\x05xxxx", 7), addresses + std::string("\x02\xff\xff", 3),
        addresses + encode_tlvs({{tlv::noop, "abc"}}) + std::string("\x04\x00", 2)};
    for (const std::string& payload : bad)
        EXPECT_FALSE(is_served(proxy.address(), proxy_v2_raw(0x21, 0x11, payload)));
    // Many, and still within 4 KiB.
    const std::vector<ProxyTlv> many(1300, {tlv::noop, ""});
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(from, to, many)));
    const std::vector<ProxyTlv> too_many(16'000, {tlv::noop, ""});
    EXPECT_FALSE(is_served(proxy.address(), proxy_v2(from, to, too_many)));
    const auto lines = expect_lines(proxy, bad.size() + 2);
    EXPECT_EQ(std::ranges::count(lines, "proxy_header_invalid", &LogLine::reason),
              static_cast<std::ptrdiff_t>(bad.size() + 1));
}

TEST_F(ProxyProtocolIn, P5_commands_and_families_that_do_not_exist_are_refused) {
    ProxyProcess proxy(config());
    const std::string addresses = proxy_v2_addresses(from, to);
    std::size_t refused = 0;
    for (const int command : {0x01, 0x11, 0x31, 0x22, 0x2f, 0xf1, 0x00}) {
        EXPECT_FALSE(is_served(proxy.address(),
                               proxy_v2_raw(static_cast<std::uint8_t>(command), 0x11, addresses)))
            << command;
        ++refused;
    }
    for (const int family : {0x13, 0x41, 0xf1, 0x1f}) {
        EXPECT_FALSE(is_served(proxy.address(),
                               proxy_v2_raw(0x21, static_cast<std::uint8_t>(family), addresses)))
            << family;
        ++refused;
    }
    // Datagrams do not come over TCP.
    EXPECT_FALSE(is_served(proxy.address(), proxy_v2_raw(0x21, 0x12, addresses)));
    ++refused;
    // No address that counts: those of the connection do.
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2_raw(0x21, 0x00, "")));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2_raw(0x21, 0x31, std::string(216, 'u'))));
    const auto lines = expect_lines(proxy, refused + 2);
    for (const LogLine& line : lines)
        if (line.reason != "proxy_header_invalid") {
            EXPECT_EQ(host_of_line(line.client), "127.0.0.1") << line.raw;
            EXPECT_EQ(line.peer, "") << line.raw;
        }
}

TEST_F(ProxyProtocolIn, P6_checksum_is_checked_where_there_is_one) {
    ProxyProcess proxy(config());
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(from, to, {}, true)));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(from, to, {{tlv::authority, "a"}}, true)));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(from, to)));
    std::string wrong = proxy_v2(from, to, {}, true);
    wrong.back() = static_cast<char>(wrong.back() ^ 1);
    EXPECT_FALSE(is_served(proxy.address(), wrong));
    EXPECT_FALSE(is_served(proxy.address(), proxy_v2(from, to, {{tlv::crc32c, "abc"}})));
    EXPECT_EQ(std::ranges::count(expect_lines(proxy, 5), "proxy_header_invalid", &LogLine::reason),
              2);
}

TEST_F(ProxyProtocolIn, P8_local_is_the_sender_itself_and_may_be_sent_on) {
    ProxyHeaderBackend v1;
    ProxyHeaderBackend v2;
    ConfigText config;
    config.services = {{.name = "v1",
                        .backends = {v1.text()},
                        .listener = trusting,
                        .upstream = "send_proxy_protocol = \"v1\"\n"},
                       {.name = "v2",
                        .backends = {v2.text()},
                        .listener = trusting,
                        .upstream = "send_proxy_protocol = \"v2\"\n"
                                    "send_proxy_protocol_tlvs = [\"passthrough\", \"crc32c\"]\n"}};
    ProxyProcess proxy(config);
    const std::vector<std::string> headers{
        proxy_v2_local(), proxy_v2_local({{tlv::noop, "pad"}, {0xE0, "mine"}}),
        proxy_v2_raw(0x20, 0x11, proxy_v2_addresses(from, to)), proxy_v2_raw(0x20, 0x11, ""),
        proxy_v2_raw(0x20, 0x55, "any bytes at all")};
    for (const std::string& header : headers)
        for (const char* listener : {"v1", "v2"})
            EXPECT_TRUE(is_served(proxy.address(listener), header)) << odd(header);
    const auto lines = expect_lines(proxy, 2 * headers.size());
    for (const LogLine& line : lines) {
        EXPECT_EQ(host_of_line(line.client), "127.0.0.1") << line.raw;
        EXPECT_EQ(line.peer, "") << line.raw;
    }
    for (const ProxyHeaderBackend* backend : {&v1, &v2}) {
        EXPECT_EQ(backend->headers().size(), headers.size());
        EXPECT_EQ(backend->without(), 0U);
        for (const ProxyHeader& header : backend->headers()) {
            EXPECT_FALSE(header.crc_wrong);
            if (!header.source.empty()) {
                EXPECT_EQ(host_of_line(header.source), "127.0.0.1");
            }
        }
    }
}

TEST_F(ProxyProtocolIn, P9_addresses_of_a_family_that_the_host_lacks_are_only_data) {
    const ScopedNetns netns;
    ScopedNetns::set("net/ipv6/conf/all/disable_ipv6", "1");
    ProxyHeaderBackend backend;
    ProxyProcess proxy(
        one_service({backend.text()}, "", "send_proxy_protocol = \"v2\"\n", trusting));
    const std::string v6 = "[2001:db8::1]:4711";
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1(v6, "[2001:db8::2]:443")));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(v6, "[2001:db8::2]:443")));
    for (const LogLine& line : expect_lines(proxy, 2)) EXPECT_EQ(line.client, v6) << line.raw;
    for (const ProxyHeader& header : backend.wait_headers(2)) EXPECT_EQ(header.source, v6);
}

TEST_F(ProxyProtocolIn, P11_header_that_never_comes_meets_the_deadline) {
    ProxyProcess proxy(config("", "proxy_header = \"600ms\"\nidle = \"5m\""));
    const auto start = Clock::now();
    auto silent = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    auto begun = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    ASSERT_TRUE(silent && begun && begun->send("PROXY TCP4 192.0"));
    EXPECT_NE(silent->wait_end(), End::open);
    EXPECT_NE(begun->wait_end(), End::open);
    EXPECT_TRUE(window_of(600ms).contains(since(start)));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "proxy_header_timeout"), "");
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(ProxyProtocolIn, P11_deadline_is_of_the_whole_header) {
    ProxyProcess proxy(config("", "proxy_header = \"800ms\"\nidle = \"5m\""));
    auto slow = Socket::connect(proxy.address(), {.source = "127.0.0.1:0", .no_delay = true});
    ASSERT_TRUE(slow);
    const std::string header = proxy_v2(from, to, {{tlv::noop, std::string(100, 'x')}});
    std::size_t said = 0;
    while (said < header.size() && slow->send(header.substr(said, 1))) {
        ++said;
        std::byte nothing;
        if (slow->receive({&nothing, 1}, 30ms) != -ETIMEDOUT) break;
    }
    EXPECT_LT(said, header.size());
    EXPECT_EQ(expect_lines(proxy, 1)[0].reason, "proxy_header_timeout");
}

TEST_F(ProxyProtocolIn, P11_second_header_is_payload_and_a_late_one_is_none) {
    ProxyProcess proxy(config());
    const std::string header = proxy_v1(from, to);
    auto twice = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    ASSERT_TRUE(twice && twice->send(header + header));
    EXPECT_EQ(twice->receive_text(header.size()), header);
    auto late = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    ASSERT_TRUE(late && late->send("ping" + header));
    EXPECT_NE(late->wait_end(), End::open);
    twice->close();
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(std::ranges::count(lines, "proxy_header_invalid", &LogLine::reason), 1);
    for (const LogLine& line : lines)
        if (line.reason != "proxy_header_invalid") {
            EXPECT_EQ(line.bytes_to_backend, header.size()) << line.raw;
        }
}

TEST_F(ProxyProtocolIn, P11_client_that_leaves_in_its_header_is_no_backends_business) {
    ProxyProcess proxy(config());
    for (const std::string& start : {std::string("PROXY TC"), proxy_v2(from, to).substr(0, 20)})
        for (const bool reset : {false, true}) {
            auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
            ASSERT_TRUE(socket && socket->send(start));
            if (reset)
                socket->reset();
            else
                socket->close();
        }
    // An end in the middle makes a broken header; who resets is not there to have one.
    std::multiset<std::string> reasons;
    for (const LogLine& line : expect_lines(proxy, 4)) reasons.insert(line.reason);
    EXPECT_EQ(reasons,
              (std::multiset<std::string>{"client_gone", "client_gone", "proxy_header_invalid",
                                          "proxy_header_invalid"}));
    EXPECT_EQ(echo.accepted(), 0U);
}

// ---- P12

const SocketOptions untrusted{.source = "127.0.0.2:0"};

TEST_F(ProxyProtocolIn, P12_untrusted_peers_are_refused) {
    ProxyProcess proxy(config());
    EXPECT_FALSE(is_served(proxy.address(), proxy_v1(from, to), untrusted));
    EXPECT_FALSE(is_served(proxy.address(), "", untrusted));
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.reason, "proxy_header_untrusted") << line.raw;
        EXPECT_EQ(host_of_line(line.client), "127.0.0.2") << line.raw;
    }
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(ProxyProtocolIn, P12_untrusted_peers_may_be_ordinary_clients) {
    ProxyProcess proxy(config("proxy_protocol_untrusted = \"direct\"\n"));
    EXPECT_TRUE(is_served(proxy.address(), "", untrusted));
    // Their header is payload like anything else.
    const std::string header = proxy_v1(from, to);
    auto socket = Socket::connect(proxy.address(), untrusted);
    ASSERT_TRUE(socket && socket->send(header));
    EXPECT_EQ(socket->receive_text(header.size()), header);
    socket->close();
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(host_of_line(line.client), "127.0.0.2") << line.raw;
        EXPECT_EQ(line.peer, "") << line.raw;
    }
    // Whoever is trusted still has to send one.
    EXPECT_TRUE(is_served(proxy.address(), header));
    auto silent = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    ASSERT_TRUE(silent && silent->send("no header at all\r\n"));
    EXPECT_NE(silent->wait_end(), End::open);
}

TEST_F(ProxyProtocolIn, P12_header_of_an_untrusted_peer_may_be_read_and_not_believed) {
    ProxyProcess proxy(config("proxy_protocol_untrusted = \"ignore\"\n"));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1(from, to), untrusted));
    EXPECT_FALSE(is_served(proxy.address(), "PROXY nonsense\r\n", untrusted));
    const auto lines = expect_lines(proxy, 2);
    for (const LogLine& line : lines) EXPECT_EQ(host_of_line(line.client), "127.0.0.2") << line.raw;
    EXPECT_EQ(std::ranges::count(lines, "proxy_header_invalid", &LogLine::reason), 1);
}

TEST_F(ProxyProtocolIn, P12_off_means_payload_even_from_trusted_places) {
    ProxyProcess proxy(one_service({echo.text()}));
    const std::string header = proxy_v1(from, to);
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(header));
    EXPECT_EQ(socket->receive_text(header.size()), header);
    socket->close();
    EXPECT_EQ(host_of_line(expect_lines(proxy, 1)[0].client), "127.0.0.1");
}

TEST_F(ProxyProtocolIn, P12_only_the_version_that_was_asked_for) {
    ConfigText config;
    for (const char* version : {"v1", "v2"})
        config.services.push_back({.name = version,
                                   .backends = {echo.text()},
                                   .listener = "proxy_protocol = " + in_quotes(version) +
                                               "\nproxy_protocol_from = \"127.0.0.0/8\"\n"});
    ProxyProcess proxy(config);
    EXPECT_TRUE(is_served(proxy.address("v1"), proxy_v1(from, to)));
    EXPECT_FALSE(is_served(proxy.address("v1"), proxy_v2(from, to)));
    EXPECT_TRUE(is_served(proxy.address("v2"), proxy_v2(from, to)));
    EXPECT_FALSE(is_served(proxy.address("v2"), proxy_v1(from, to)));
}

TEST_F(ProxyProtocolIn, P12_nobody_to_trust_is_an_error) {
    for (const char* listener :
         {"proxy_protocol = \"v2\"\n", "proxy_protocol = \"any\"\nproxy_protocol_from = []\n"}) {
        ConfigText config = one_service({echo.text()}, "", "", listener);
        config.access_log = "target = \"off\"";
        const Finished finished =
            run_penstock({"check", "-c", files.write("check.toml", config.toml())});
        EXPECT_EQ(finished.exit_status, 2);
        EXPECT_NE((finished.errors + finished.output).find("proxy_protocol_from"),
                  std::string::npos)
            << finished.errors << finished.output;
    }
}

TEST_F(ProxyProtocolIn, P12_unix_peers_can_be_trusted) {
    const std::string path = "unix:" + files.path("in.sock");
    ConfigText config = one_service({echo.text()}, "", "",
                                    "proxy_protocol = \"any\"\nproxy_protocol_from = \"unix\"\n");
    config.services[0].bind = path;
    ProxyProcess proxy(config);
    EXPECT_TRUE(is_served(Address::parse(path), proxy_v2(from, to), {}));
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.client, from) << line.raw;
    EXPECT_EQ(line.peer, "unix:") << line.raw;
}

// ---- P13

TEST_F(ProxyProtocolIn, P13_proxied_address_is_the_client_in_the_log) {
    ProxyProcess proxy(config());
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2(from, to)));
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.client, from) << line.raw;
    EXPECT_EQ(host_of_line(line.peer), "127.0.0.1") << line.raw;
}

TEST_F(ProxyProtocolIn, P13_access_lists_judge_the_proxied_address) {
    ProxyProcess proxy(config("deny = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"));
    EXPECT_FALSE(is_served(proxy.address(), proxy_v1(from, to)));
    EXPECT_FALSE(is_served(proxy.address(), proxy_v2("[2001:db8::1]:1", "[::1]:2")));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1("203.0.113.9:1", to)));
    const auto lines = expect_lines(proxy, 3);
    EXPECT_EQ(std::ranges::count(lines, "denied", &LogLine::reason), 2);
    for (const LogLine& line : lines)
        if (line.reason == "denied") {
            EXPECT_NE(host_of_line(line.client), "127.0.0.1") << line.raw;
        }
    EXPECT_EQ(echo.accepted(), 1U);
}

TEST_F(ProxyProtocolIn, P13_lists_are_not_about_what_the_proxy_says_for_itself) {
    ProxyProcess proxy(config("allow = \"192.0.2.0/24\"\n"));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v2_local()));
    EXPECT_FALSE(is_served(proxy.address(), "PROXY UNKNOWN\r\n")) << "a client of some kind";
}

TEST_F(ProxyProtocolIn, P13_list_that_allows_the_client_need_not_allow_its_proxy) {
    ProxyProcess proxy(config("allow = \"192.0.2.0/24\"\n"));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1(from, to)));
    EXPECT_FALSE(is_served(proxy.address(), proxy_v1("203.0.113.9:1", to)));
}

TEST_F(ProxyProtocolIn, P13_limits_count_proxied_addresses) {
    ProxyProcess proxy(config("max_connections_per_source = 2\n"));
    std::vector<Socket> open;
    const auto enter = [&](const std::string& client) {
        auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
        if (!socket || !socket->send(proxy_v1(client, to) + "ping")) return false;
        const bool served = socket->receive_text(4) == "ping";
        if (served) open.push_back(std::move(*socket));
        return served;
    };
    EXPECT_TRUE(enter("192.0.2.1:1"));
    EXPECT_TRUE(enter("192.0.2.1:2"));
    EXPECT_FALSE(enter("192.0.2.1:3"));
    for (int i = 2; i < 6; ++i) EXPECT_TRUE(enter("192.0.2." + std::to_string(i) + ":1"));
    EXPECT_EQ(expect_lines(proxy, 1)[0].reason, "limit_source");
    // What leaves gives back its place.
    open.front().close();
    EXPECT_TRUE(wait_for([&] { return enter("192.0.2.1:4"); }));
}

TEST_F(ProxyProtocolIn, P13_hash_is_of_the_proxied_address) {
    EchoServer second;
    EchoServer third;
    ConfigText config = this->config();
    config.services[0].backends = {echo.text(), second.text(), third.text()};
    config.services[0].balance = "maglev";
    ProxyProcess proxy(config);
    constexpr int clients = 24;
    for (int round = 0; round < 2; ++round)
        for (int i = 0; i < clients; ++i)
            EXPECT_TRUE(is_served(
                proxy.address(),
                proxy_v1("192.0.2." + std::to_string(i) + ":" + std::to_string(1000 + round), to)));
    std::map<std::string, std::set<std::string>> homes;
    std::set<std::string> used;
    for (const LogLine& line : expect_lines(proxy, 2 * clients)) {
        homes[host_of_line(line.client)].insert(line.backend);
        used.insert(line.backend);
    }
    EXPECT_EQ(homes.size(), static_cast<std::size_t>(clients));
    for (const auto& [client, backends] : homes) EXPECT_EQ(backends.size(), 1U) << client;
    EXPECT_GT(used.size(), 1U);
}

TEST_F(ProxyProtocolIn, P13_routes_by_source_see_the_proxied_address) {
    EchoServer special;
    ConfigText config =
        this->config("route = [{ source = \"192.0.2.0/24\", upstream = \"special\" }]\n");
    config.more = upstream_table("special", special.text());
    ProxyProcess proxy(config);
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1(from, to)));
    EXPECT_TRUE(is_served(proxy.address(), proxy_v1("203.0.113.9:1", to)));
    EXPECT_EQ(special.accepted(), 1U);
    EXPECT_EQ(echo.accepted(), 1U);
}

// ---- P14

TEST_F(ProxyProtocolIn, P14_header_and_hello_in_one_segment) {
    ProxyProcess proxy(config(terminates({a})));
    std::size_t count = 0;
    for (const std::string& header :
         {proxy_v1(from, to), proxy_v2(from, to, {{tlv::authority, "other"}}, true)}) {
        TlsClientOptions options = asks();
        options.before = header;
        options.socket.source = "127.0.0.1:0";
        TlsClient client = connected(proxy, options);
        EXPECT_TRUE(client.close_cleanly());
        const LogLine line = expect_lines(proxy, ++count).back();
        EXPECT_EQ(line.client, from) << line.raw;
        EXPECT_EQ(line.sni, "a.example") << line.raw;
        EXPECT_EQ(line.reason, "completed") << line.raw;
        EXPECT_EQ(line.bytes_to_backend, 4U) << line.raw;
    }
}

TEST_F(ProxyProtocolIn, P14_header_and_hello_that_passes_through) {
    TlsEchoServer backend({.pair = a});
    ConfigText config = this->config(
        "route = [{ sni = \"a.example\", upstream = \"a\", tls = \"passthrough\" }]\n");
    config.more = upstream_table("a", backend.text());
    ProxyProcess proxy(config);
    TlsClientOptions options = asks();
    options.before = proxy_v2(from, to);
    options.socket.source = "127.0.0.1:0";
    TlsClient client = connected(proxy, options);
    EXPECT_TRUE(client.close_cleanly());
    EXPECT_EQ(expect_lines(proxy, 1)[0].client, from);
}

TEST_F(ProxyProtocolIn, P14_header_and_much_payload_lose_nothing) {
    ProxyProcess proxy(config());
    std::string payload(64 * 1024, '\0');
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i % 253);
    for (const std::string& header : {proxy_v1(from, to), proxy_v2(from, to, {}, true)}) {
        auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
        ASSERT_TRUE(socket && socket->send(header + payload));
        EXPECT_TRUE(socket->receive_text(payload.size()) == payload);
        socket->finish();
        EXPECT_EQ(socket->wait_end(), End::fin);
    }
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.bytes_to_backend, payload.size()) << line.raw;
        EXPECT_EQ(line.reason, "completed") << line.raw;
    }
}

TEST_F(ProxyProtocolIn, P14_header_and_nothing_but_an_end) {
    ProxyProcess proxy(config());
    auto socket = Socket::connect(proxy.address(), {.source = "127.0.0.1:0"});
    ASSERT_TRUE(socket && socket->send(proxy_v1(from, to)));
    socket->finish();
    EXPECT_NE(socket->wait_end(), End::open);
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_TRUE(line.reason == "completed" || line.reason == "client_gone") << line.raw;
    EXPECT_EQ(line.client, from) << line.raw;
}

}  // namespace
}  // namespace penstock::test
