// Who goes where by what a ClientHello says, and what ClientHellos may look like.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

std::string number(std::size_t value, unsigned bytes) {
    std::string text;
    for (unsigned i = bytes; i > 0; --i) text += static_cast<char>(value >> (8 * (i - 1)) & 0xFF);
    return text;
}

std::string sized_text(const std::string& text, unsigned bytes) {
    return number(text.size(), bytes) + text;
}

std::string extension(unsigned type, const std::string& body) {
    return number(type, 2) + sized_text(body, 2);
}

std::string name_entry(const std::string& name, char type = 0) {
    return type + sized_text(name, 2);
}

std::string sni_of(const std::string& entries) { return extension(0, sized_text(entries, 2)); }

/// A handshake message by hand, and its record.
std::string hello_message(const std::string& extensions, const std::string& ciphers = "\x13\x01") {
    const std::string body = "\x03\x03" + std::string(32, 'r') + sized_text("", 1) +
                             sized_text(ciphers, 2) + sized_text(std::string(1, '\0'), 1) +
                             (extensions.empty() ? "" : sized_text(extensions, 2));
    return '\x01' + sized_text(body, 3);
}

std::string record_of(const std::string& message, const std::string& version = "\x03\x01") {
    return '\x16' + version + sized_text(message, 2);
}

std::string hello(const std::string& extensions) { return record_of(hello_message(extensions)); }

/// The handshake message of `bytes` again, in records of at most `size` bytes.
std::string in_records_of(const std::string& bytes, std::size_t size) {
    std::string message;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t length = static_cast<unsigned char>(bytes[at + 3]) * 256UL +
                                   static_cast<unsigned char>(bytes[at + 4]);
        message += bytes.substr(at + 5, length);
        at += 5 + length;
    }
    std::string out;
    for (std::size_t at = 0; at < message.size(); at += size)
        out += record_of(message.substr(at, size));
    return out;
}

struct SniRouting : TlsScene {
    TlsEchoServer backend{{.pair = a}};
    EchoServer other;

    /// "a.example" and those below it go to `a` untouched, the rest to the plain echo.
    [[nodiscard]] ConfigText routed(const std::string& listener = "",
                                    std::string timeouts = "") const {
        ConfigText config =
            one_service({echo.text()}, std::move(timeouts), "",
                        listener +
                            "route = [{ sni = [\"a.example\", \"*.a.example\"], upstream = \"a\", "
                            "tls = \"passthrough\" }]\n");
        config.more = upstream_table("a", backend.text());
        return config;
    }
    /// Sends `bytes` and leaves; the line that tells where it went.
    static LogLine line_of(const ProxyProcess& proxy, const std::string& bytes) {
        const std::size_t before = proxy.access_log().lines().size();
        auto socket = Socket::connect(proxy.address());
        EXPECT_TRUE(socket && socket->send(bytes));
        if (socket) {
            socket->finish();
            EXPECT_NE(socket->wait_end(), End::open);
        }
        const auto lines = proxy.access_log().wait_for_lines(before + 1);
        EXPECT_EQ(lines.size(), before + 1);
        return lines.empty() ? LogLine{} : lines.back();
    }
    /// The upstream that the log names for a client of that SNI.
    static std::string upstream_for(const ProxyProcess& proxy, const std::string& name,
                                    const std::string& more = "") {
        return line_of(proxy, hello((name.empty() ? "" : sni_of(name_entry(name))) + more))
            .upstream;
    }
};

TEST_F(SniRouting, S1_absurd_record_is_refused_at_once) {
    ProxyProcess proxy(routed("", "client_hello = \"5m\"\nidle = \"5m\""));
    const std::vector<std::string> absurd{std::string("\x16\x03\x01\xff\xff", 5),
                                          std::string("\x16\x03\x01\x48\x01", 5),
                                          std::string("\x16\x03\x01\x00\x00", 5)};
    for (const std::string& bytes : absurd) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(bytes));
        EXPECT_NE(socket->wait_end(promptly), End::open);
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, absurd.size()), "client_hello_invalid"), "");
    EXPECT_EQ(backend.accepted() + echo.accepted(), 0U);
}

TEST_F(SniRouting, S2_hello_may_come_in_any_segments) {
    ProxyProcess proxy(routed());
    const std::size_t size = TlsClient(asks()).begin().size();
    std::size_t count = 0;
    for (std::size_t cut = 1; cut < size; cut += cut < 12 || size - cut < 4 ? 1 : 17, ++count) {
        TlsClientOptions options = asks();
        options.socket.no_delay = true;
        TlsClient client(options);
        const std::string bytes = client.begin();
        ASSERT_TRUE(client.connect(proxy.address()));
        ASSERT_TRUE(client.socket().send(bytes.substr(0, cut)));
        std::byte nothing;
        client.socket().receive({&nothing, 1}, 2ms);
        ASSERT_TRUE(client.socket().send(bytes.substr(cut)));
        ASSERT_TRUE(client.handshake()) << cut << " " << client.error();
        ASSERT_TRUE(client.ping()) << cut;
        EXPECT_TRUE(client.close_cleanly());
    }
    for (const LogLine& line : expect_lines(proxy, count)) EXPECT_EQ(line.upstream, "a");
}

TEST_F(SniRouting, S2_hello_may_come_in_any_records) {
    ProxyProcess proxy(routed(terminates({pki.server("own.example")})));
    std::size_t count = 0;
    for (const std::size_t size : {20UL, 64UL, 100UL, 137UL, 200UL}) {
        // Both what passes through and what ends here.
        for (const char* name : {"a.example", "own.example"}) {
            TlsClient client(asks(name));
            const std::string bytes = in_records_of(client.begin(), size);
            ASSERT_TRUE(client.connect(proxy.address()));
            ASSERT_TRUE(client.socket().send(bytes));
            ASSERT_TRUE(client.handshake()) << size << " " << client.error();
            ASSERT_TRUE(client.ping());
            EXPECT_TRUE(client.close_cleanly());
            EXPECT_EQ(expect_lines(proxy, ++count).back().sni, name);
        }
    }
}

TEST_F(SniRouting, S2_hello_in_records_of_one_byte_is_still_read) {
    ProxyProcess proxy(routed());
    const std::string bytes = in_records_of(hello(sni_of(name_entry("a.example"))), 1);
    EXPECT_EQ(line_of(proxy, bytes).upstream, "a");
}

TEST_F(SniRouting, S3_large_hellos_pass_up_to_the_limit) {
    ConfigText config = routed();
    config.services.push_back(config.services[0]);
    config.services[1].name = "wide";
    config.services[1].listener += "client_hello_max = \"64KiB\"\n";
    ProxyProcess proxy(config);
    const auto served = [&](std::size_t padding, const char* listener) {
        TlsClientOptions options = asks();
        options.padding = padding;
        TlsClient client(options);
        return client.open(proxy.address(listener)) && client.ping();
    };
    EXPECT_TRUE(served(1800, "in"));  // as large as those with post-quantum keys
    EXPECT_TRUE(served(15'000, "in"));
    EXPECT_FALSE(served(20'000, "in"));
    EXPECT_TRUE(served(20'000, "wide"));
    EXPECT_TRUE(served(64'000, "wide"));
    const auto lines = expect_lines(proxy, 5);
    EXPECT_EQ(std::ranges::count(lines, "client_hello_invalid", &LogLine::reason), 1);
}

TEST_F(SniRouting, S4_names_are_compared_as_host_names) {
    ProxyProcess proxy(routed());
    EXPECT_EQ(upstream_for(proxy, "a.example"), "a");
    EXPECT_EQ(upstream_for(proxy, "A.EXAMPLE"), "a");
    EXPECT_EQ(upstream_for(proxy, "a.example."), "a");
    EXPECT_EQ(upstream_for(proxy, "_x.a.example"), "a");
    EXPECT_EQ(upstream_for(proxy, "b.example"), "in");
    EXPECT_EQ(upstream_for(proxy, ""), "in");
    EXPECT_EQ(upstream_for(proxy, "10.0.0.1"), "in");
    EXPECT_EQ(upstream_for(proxy, "a.example.evil"), "in");
    for (const LogLine& line : proxy.access_log().lines()) EXPECT_EQ(line.problem, "");
}

TEST_F(SniRouting, S4_broken_names_never_reach_the_named_upstream) {
    ProxyProcess proxy(routed());
    const std::string good = name_entry("a.example");
    const std::vector<std::string> odd{
        sni_of(name_entry("")),
        sni_of(name_entry(std::string("a.example\0", 10))),
        sni_of(name_entry(std::string("a.example\0.evil", 15))),
        sni_of(name_entry(std::string(256, 'a'))),
        sni_of(name_entry(std::string(7000, 'a') + ".a.example")),
        sni_of(name_entry("a .example")),
        sni_of(name_entry("\xc3\xa4.example")),
        sni_of(name_entry("a..example")),
        sni_of(name_entry(".")),
        extension(0, ""),
        extension(0, number(0, 2)),
        extension(0, number(200, 2) + good),           // the list is longer than what holds it
        extension(0, number(good.size() - 3, 2) + good),  // or shorter
        extension(0, sized_text('\0' + number(50, 2) + "a.example", 2)),
        extension(0, sized_text(good, 2)) + extension(0, sized_text(good, 2)),
    };
    std::size_t invalid = 0;
    for (const std::string& extensions : odd) {
        const LogLine line = line_of(proxy, hello(extensions));
        EXPECT_EQ(line.problem, "") << line.raw;
        EXPECT_NE(line.upstream, "a") << line.raw;
        EXPECT_TRUE(line.upstream == "in" || line.reason == "client_hello_invalid") << line.raw;
        invalid += line.reason == "client_hello_invalid";
    }
    EXPECT_GT(invalid, 0U);
    EXPECT_EQ(backend.accepted(), 0U);
}

TEST_F(SniRouting, S4_lengths_that_contradict_each_other_are_invalid) {
    ProxyProcess proxy(routed());
    std::string message = hello_message(sni_of(name_entry("a.example")));
    // The extensions' length, one more and one less than there is.
    const std::size_t at = 4 + 2 + 32 + 1 + 2 + 2 + 1 + 1;
    for (const int by : {1, -1}) {
        std::string wrong = message;
        wrong[at + 1] = static_cast<char>(wrong[at + 1] + by);
        EXPECT_EQ(line_of(proxy, record_of(wrong)).reason, "client_hello_invalid") << by;
    }
    // A session id and ciphers that reach beyond the end.
    for (const std::size_t place : {4UL + 2 + 32, 4UL + 2 + 32 + 1}) {
        std::string wrong = message;
        wrong[place] = '\xff';
        EXPECT_EQ(line_of(proxy, record_of(wrong)).reason, "client_hello_invalid") << place;
    }
    EXPECT_EQ(backend.accepted(), 0U);
}

TEST_F(SniRouting, S5_versions_of_the_record_do_not_matter) {
    ProxyProcess proxy(routed());
    const std::string message = hello_message(sni_of(name_entry("a.example")));
    for (const char* version : {"\x03\x01", "\x03\x02", "\x03\x03"})
        EXPECT_EQ(line_of(proxy, record_of(message, version)).upstream, "a");
    // A hello of SSL 2 has no names: the default, or not TLS, which is the same.
    const std::string ssl2 =
        std::string("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80", 14) +
        std::string(34, '\x01');
    EXPECT_NE(line_of(proxy, ssl2).upstream, "a");
}

TEST_F(SniRouting, S6_what_is_no_tls_goes_to_the_default_upstream) {
    ProxyProcess proxy(routed());
    for (const std::string& text : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(40, '\0'),
                                    std::string("\x16\x05no version", 12)}) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(text));
        EXPECT_EQ(socket->receive_text(text.size()), text);
    }
    EXPECT_EQ(echo.accepted(), 3U);
    for (const LogLine& line : expect_lines(proxy, 3)) {
        EXPECT_EQ(line.upstream, "in") << line.raw;
        EXPECT_EQ(line.sni, "") << line.raw;
    }
}

TEST_F(SniRouting, S6_nothing_at_all_and_an_end) {
    ProxyProcess proxy(routed());
    for (const std::string& text :
         {std::string(), std::string("\x16"), std::string("\x16\x03\x01", 3)})
        EXPECT_NE(line_of(proxy, text).upstream, "a");
}

TEST_F(SniRouting, T4_every_prefix_of_a_hello_that_is_only_read_may_end_in_any_way) {
    ProxyProcess proxy(routed());
    const std::string hello = TlsClient(asks()).begin();
    std::multiset<std::string> expected;
    for (std::size_t size = 1; size < hello.size(); size += 7)
        for (const bool reset : {false, true}) {
            auto socket = Socket::connect(proxy.address());
            ASSERT_TRUE(socket && socket->send(hello.substr(0, size)));
            if (reset)
                socket->reset();
            else
                socket->finish();
            if (!reset) {
                EXPECT_NE(socket->wait_end(), End::open) << size;
            }
            expected.insert(reset ? "client_gone" : "client_hello_invalid");
        }
    std::multiset<std::string> reasons;
    for (const LogLine& line : expect_lines(proxy, expected.size())) reasons.insert(line.reason);
    EXPECT_EQ(reasons, expected);
    EXPECT_EQ(backend.accepted() + echo.accepted(), 0U);
}

TEST_F(SniRouting, S7_unknown_things_are_ignored) {
    ProxyProcess proxy(routed());
    const std::string name = sni_of(name_entry("a.example"));
    EXPECT_EQ(line_of(proxy, hello(extension(0x0a0a, "") + name + extension(0xfafa, "x"))).upstream,
              "a");
    // An encrypted hello: the outer name counts.
    EXPECT_EQ(line_of(proxy, hello(extension(0xfe0d, std::string(300, 'e')) + name)).upstream, "a");
    EXPECT_EQ(line_of(proxy, record_of(hello_message(name, ""))).upstream, "a");
    EXPECT_EQ(line_of(proxy, record_of(hello_message(""))).upstream, "in");
    // A name of another type in front of the host name.
    const LogLine line =
        line_of(proxy, hello(sni_of(name_entry("x", '\x07') + name_entry("a.example"))));
    EXPECT_TRUE(line.upstream == "a" || line.reason == "client_hello_invalid") << line.raw;
}

// ---- Tables and routes

TEST_F(SniRouting, S8_exact_before_the_longest_wildcard_before_routes_before_the_default) {
    ConfigText config = one_service(
        {echo.text()}, "", "",
        "sni = { \"a.example\" = \"exact\", \"*.example\" = \"short\", \"*.b.example\" = \"long\", "
        "\"xn--bcher-kva.example\" = \"idn\" }\n"
        "route = [ { sni = \"a.example\", upstream = \"never\" },\n"
        "          { sni = \"*.test\", upstream = \"first\" },\n"
        "          { sni = [\"x.test\", \"plain\"], upstream = \"second\" },\n"
        "          { sni = \"\", upstream = \"nameless\" } ]\n");
    for (const char* name :
         {"exact", "short", "long", "idn", "never", "first", "second", "nameless"})
        config.more += upstream_table(name, echo.text());
    ProxyProcess proxy(config);
    const std::map<std::string, std::string> expected{
        {"a.example", "exact"}, {"c.example", "short"},   {"x.b.example", "long"},
        {"b.example", "short"}, {"y.c.example", "short"}, {"xn--bcher-kva.example", "idn"},
        {"x.test", "first"},    {"plain", "second"},      {"", "nameless"},
        {"elsewhere.org", "in"}};
    for (const auto& [name, upstream] : expected)
        EXPECT_EQ(upstream_for(proxy, name), upstream) << name;
}

TEST_F(SniRouting, S8_all_conditions_of_a_route_must_hold) {
    ConfigText config = one_service(
        {echo.text()}, "", "",
        "route = [ { alpn = [\"h2\", \"h3\"], sni = \"a.example\", upstream = \"both\" },\n"
        "          { alpn = \"acme-tls/1\", upstream = \"acme\" },\n"
        "          { source = \"127.0.0.9/32\", sni = \"a.example\", upstream = \"near\" } ]\n");
    for (const char* name : {"both", "acme", "near"})
        config.more += upstream_table(name, echo.text());
    ProxyProcess proxy(config);
    const auto alpn = [](const std::vector<std::string>& names) {
        return extension(16, sized_text(alpn_bytes(names), 2));
    };
    EXPECT_EQ(upstream_for(proxy, "a.example", alpn({"http/1.1", "h2"})), "both");
    EXPECT_EQ(upstream_for(proxy, "a.example", alpn({"http/1.1"})), "in");
    EXPECT_EQ(upstream_for(proxy, "b.example", alpn({"h2"})), "in");
    EXPECT_EQ(upstream_for(proxy, "b.example", alpn({"acme-tls/1"})), "acme");
    EXPECT_EQ(upstream_for(proxy, "a.example"), "in");
    auto near = Socket::connect(proxy.address(), {.source = "127.0.0.9:0"});
    ASSERT_TRUE(near && near->send(hello(sni_of(name_entry("a.example")))));
    near->finish();
    near->wait_end();
    EXPECT_EQ(expect_lines(proxy, 6).back().upstream, "near");
}

TEST_F(SniRouting, S8_hundred_thousand_names_are_all_known_and_outlast_a_reload) {
    const int count = sized(100'000, 10);
    std::string table = "[listener.sni]\n";
    for (int i = 0; i < count; ++i)
        table += "\"host" + std::to_string(i) + ".tenants.example\" = \"t" + std::to_string(i % 5) +
                 "\"\n";
    ConfigText config = one_service({echo.text()}, "", "", table);
    for (int i = 0; i < 5; ++i)
        config.more += upstream_table("t" + std::to_string(i), other.text());
    ProxyProcess proxy(config);
    for (int i = 0; i < count; i += count / 50) {
        const std::string name = "host" + std::to_string(i) + ".tenants.example";
        EXPECT_EQ(upstream_for(proxy, name), "t" + std::to_string(i % 5)) << name;
    }
    EXPECT_EQ(upstream_for(proxy, "host" + std::to_string(count) + ".tenants.example"), "in");
    // A reload of so many names neither loses one nor stops anybody.
    Probe probe(proxy.address());
    config.services[0].timeouts = "idle = \"59m\"";
    EXPECT_TRUE(proxy.change_to(config, 60s));
    expect_undisturbed(probe.finish());
    // Lines of the probe's last connections may still be on their way.
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client && client->send(hello(sni_of(name_entry("host1.tenants.example")))));
    EXPECT_TRUE(wait_for([&] { return other.open() == 1; }));
}

TEST_F(SniRouting, unclaimed_names_are_refused_where_there_is_no_default) {
    ConfigText config = routed();
    config.services[0].routed = false;
    ProxyProcess proxy(config);
    TlsClient stranger(asks("b.example"));
    EXPECT_FALSE(stranger.open(proxy.address()));
    TlsClient known = connected(proxy, asks());
    EXPECT_TRUE(known.close_cleanly());
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(lines[0].reason, "no_route") << lines[0].raw;
    EXPECT_EQ(lines[0].sni, "b.example") << lines[0].raw;
    EXPECT_EQ(lines[1].upstream, "a") << lines[1].raw;
}

TEST_F(SniRouting, terminated_clients_are_routed_by_name_and_alpn_too) {
    ConfigText config = one_service(
        {echo.text()}, "", "",
        terminates({a}, "alpn = [\"h2\", \"http/1.1\"]") +
            "sni = { \"t.example\" = \"tenant\" }\n"
            "route = [{ alpn = \"h2\", sni = \"a.example\", upstream = \"modern\" }]\n");
    config.more = upstream_table("tenant", echo.text()) + upstream_table("modern", echo.text());
    ProxyProcess proxy(config);
    std::size_t count = 0;
    const auto upstream = [&](const std::string& name, const std::vector<std::string>& alpn) {
        TlsClient client({.server_name = name, .alpn = alpn});
        EXPECT_TRUE(client.open(proxy.address()) && client.ping()) << client.error();
        client.close_cleanly();
        return expect_lines(proxy, ++count).back().upstream;
    };
    EXPECT_EQ(upstream("t.example", {}), "tenant");
    EXPECT_EQ(upstream("a.example", {"h2"}), "modern");
    EXPECT_EQ(upstream("a.example", {"http/1.1"}), "in");
    EXPECT_EQ(upstream("", {}), "in");
}

// Where the name is wanted, and decides nothing, nobody is refused for having none.
TEST_F(SniRouting, who_is_asked_for_a_name_alone_need_not_have_one) {
    ChaosBackend greeter(scripts::greet("hello"));
    ProxyProcess proxy(one_service({greeter.text()}, "client_hello = \"300ms\"\n",
                                   "send_proxy_protocol = \"v2\"\n"
                                   "send_proxy_protocol_tlvs = \"authority\"\n"));
    auto silent = Socket::connect(proxy.address());
    ASSERT_TRUE(silent);
    EXPECT_EQ(silent->receive_text(5), "hello") << "the backend speaks first";
    auto broken = Socket::connect(proxy.address());
    ASSERT_TRUE(broken && broken->send(hello(sni_of(name_entry("a.example") + name_entry("b")))));
    EXPECT_EQ(broken->receive_text(5), "hello") << "no hello that could be read";
    auto slow = Socket::connect(proxy.address());
    const std::string part = hello(sni_of(name_entry("a.example"))).substr(0, 20);
    ASSERT_TRUE(slow && slow->send(part));
    EXPECT_EQ(slow->receive_text(5), "hello");
    std::string echoed;
    while (!echoed.ends_with(part)) {
        const std::string more = slow->receive_text(1);
        ASSERT_FALSE(more.empty()) << echoed;
        echoed += more;
    }
}

TEST_F(SniRouting, a_name_that_is_hashed_by_no_policy_is_not_waited_for) {
    ChaosBackend greeter(scripts::greet("hello"));
    ConfigText config =
        one_service({greeter.text()}, "client_hello = \"10m\"\n", "hash_key = \"sni\"\n");
    config.services[0].balance = "p2c";
    ProxyProcess proxy(config);
    auto silent = Socket::connect(proxy.address());
    ASSERT_TRUE(silent);
    EXPECT_EQ(silent->receive_text(5), "hello");
}

TEST_F(SniRouting, hash_of_the_name_keeps_a_name_with_its_backend) {
    EchoServer second;
    EchoServer third;
    ConfigText config = one_service({echo.text(), second.text(), third.text()}, "",
                                    "hash_key = \"sni\"\n", terminates({a}));
    config.services[0].balance = "maglev";
    ProxyProcess proxy(config);
    std::map<std::string, std::set<std::string>> homes;
    std::size_t count = 0;
    for (int round = 0; round < 2; ++round)
        for (int i = 0; i < 16; ++i, ++count) {
            TlsClient client({.server_name = "t" + std::to_string(i) + ".example"});
            ASSERT_TRUE(client.open(proxy.address()) && client.ping());
            client.close_cleanly();
        }
    std::set<std::string> used;
    for (const LogLine& line : expect_lines(proxy, count)) {
        homes[line.sni].insert(line.backend);
        used.insert(line.backend);
    }
    for (const auto& [name, backends] : homes) EXPECT_EQ(backends.size(), 1U) << name;
    EXPECT_GT(used.size(), 1U);
}

TEST_F(SniRouting, reload_changes_the_table_for_new_clients_alone) {
    ConfigText config = routed();
    ProxyProcess proxy(config);
    TlsClient old = connected(proxy, asks());
    config.services[0].listener = "route = [{ sni = \"a.example\", upstream = \"new\" }]\n";
    config.more += upstream_table("new", other.text());
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_EQ(upstream_for(proxy, "a.example"), "new");
    EXPECT_TRUE(old.ping());
}

// ---- S9

TEST_F(SniRouting, S9_deadline_is_of_the_whole_hello) {
    ProxyProcess proxy(routed("", "client_hello = \"800ms\"\nidle = \"5m\""));
    const std::string bytes = client_hello(asks());
    const auto start = Clock::now();
    auto silent = Socket::connect(proxy.address());
    auto slow = Socket::connect(proxy.address(), {.no_delay = true});
    ASSERT_TRUE(silent && slow);
    std::size_t said = 0;
    while (said < bytes.size() && slow->send(bytes.substr(said, 1))) {
        ++said;
        std::byte nothing;
        if (slow->receive({&nothing, 1}, 30ms) != -ETIMEDOUT) break;
    }
    EXPECT_LT(said, bytes.size());
    EXPECT_NE(silent->wait_end(), End::open);
    EXPECT_TRUE(window_of(800ms).contains(since(start)));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "client_hello_timeout"), "");
    EXPECT_EQ(backend.accepted() + echo.accepted(), 0U);
}

TEST_F(SniRouting, S9_each_phase_has_its_own_deadline) {
    ProxyProcess proxy(routed(terminates({pki.server("own.example")}) +
                                  "proxy_protocol = \"any\"\nproxy_protocol_from = \"all\"\n",
                              "proxy_header = \"500ms\"\nclient_hello = \"500ms\"\n"
                              "tls_handshake = \"500ms\"\nidle = \"5m\""));
    const std::string header = proxy_v1("192.0.2.1:1", "192.0.2.2:2");
    const std::string bytes = client_hello(asks("own.example"));
    const std::vector<std::pair<std::string, std::string>> phases{
        {"PROXY ", "proxy_header_timeout"},
        {header, "client_hello_timeout"},
        {header + bytes.substr(0, 60), "client_hello_timeout"},
        {header + bytes, "tls_timeout"}};
    std::size_t made = 0;
    for (const auto& [said, reason] : phases) {
        EXPECT_TRUE(in_one_of_three_windows([&] {
            const auto start = Clock::now();
            auto socket = Socket::connect(proxy.address());
            EXPECT_TRUE(socket && socket->send(said));
            const bool late = since(start) > 250ms;  // for the phase before, perhaps
            EXPECT_NE(socket->wait_end(), End::open);
            const auto line = expect_lines(proxy, ++made).back();
            EXPECT_TRUE(late || line.reason == reason) << line.raw;
            return line.reason == reason;
        })) << reason;
    }
}

TEST_F(SniRouting, L5_names_from_the_wire_cannot_break_the_log) {
    ProxyProcess proxy(routed());
    for (const std::string& name : {std::string("a\nb.example"), std::string("\x1b[31m.example"),
                                    std::string("q\"uote"), std::string("\xff\xfe\xfd")})
        EXPECT_EQ(line_of(proxy, hello(sni_of(name_entry(name)))).problem, "");
    const std::string alpn =
        extension(16, sized_text(alpn_bytes({"h\n2", "\x1b[0m", std::string(255, '"')}), 2));
    EXPECT_EQ(line_of(proxy, hello(alpn)).problem, "");
}

}  // namespace
}  // namespace penstock::test
