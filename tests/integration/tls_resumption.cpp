// Sessions that a client resumes: where that works, and where it must not.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsResumption : TlsScene {
    /// A client that has had an answer, and with it its ticket.
    TlsSession session_from(const Address& address, const TlsClientOptions& options) {
        TlsClient client(options);
        EXPECT_TRUE(client.open(address)) << client.error();
        EXPECT_TRUE(client.ping()) << client.error();
        const TlsSession session = client.session();
        client.close_cleanly();
        return session;
    }
    static bool resumes(const Address& address, const TlsClientOptions& options,
                        const TlsSession& session) {
        TlsClient client(options, session);
        EXPECT_TRUE(client.open(address)) << client.error();
        EXPECT_TRUE(client.ping()) << client.error();
        const bool resumed = client.resumed();
        client.close_cleanly();
        return resumed;
    }
    [[nodiscard]] TlsClientOptions of(TlsVersion version, bool tickets = true) const {
        TlsClientOptions options = asks();
        options.max_version = version;
        options.tickets = tickets;
        return options;
    }
    /// 80 bytes of a ticket key, all the same.
    [[nodiscard]] std::string key_file(const std::string& name, char byte) const {
        return pki.write(name, std::string(80, byte));
    }
};

TEST_F(TlsResumption, works_with_tickets_over_all_workers) {
    ConfigText config = terminating();
    config.process = "workers = 3";
    ProxyProcess proxy(config);
    int count = 0;
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsSession session = session_from(proxy.address(), of(version));
        ASSERT_TRUE(session);
        for (int i = 0; i < 10; ++i, ++count)
            EXPECT_TRUE(resumes(proxy.address(), of(version), session)) << i;
    }
    EXPECT_EQ(handshakes_of(proxy, "full"), 2);
    EXPECT_EQ(handshakes_of(proxy, "resumed"), count);
    const auto lines = expect_lines(proxy, 22);
    EXPECT_EQ(std::ranges::count_if(lines, [](const LogLine& line) { return line.tls.resumed; }),
              count);
}

TEST_F(TlsResumption, works_without_tickets_by_the_cache) {
    ConfigText config = terminating("session_tickets = false");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        const TlsSession session = session_from(proxy.address(), of(version));
        ASSERT_TRUE(session);
        EXPECT_TRUE(resumes(proxy.address(), of(version), session));
    }
}

TEST_F(TlsResumption, clients_without_tickets_use_the_cache) {
    ProxyProcess proxy(terminating());
    const auto options = of(TlsVersion::tls12, false);
    const TlsSession session = session_from(proxy.address(), options);
    ASSERT_TRUE(session);
    EXPECT_TRUE(resumes(proxy.address(), options, session));
}

TEST_F(TlsResumption, does_not_happen_where_both_are_off) {
    ProxyProcess proxy(terminating("session_tickets = false, session_cache = 0"));
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        const TlsSession session = session_from(proxy.address(), of(version));
        EXPECT_FALSE(resumes(proxy.address(), of(version), session));
    }
    EXPECT_EQ(handshakes_of(proxy, "resumed"), 0);
}

// ---- T12

TEST_F(TlsResumption, T12_session_of_one_listener_is_nothing_to_another) {
    const Pair client = pki.client("client");
    ConfigText config = terminating();
    config.services.push_back(
        {.name = "mutual",
         .backends = {echo.text()},
         .listener = terminates(
             {a}, "client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file()))});
    config.services.push_back(
        {.name = "other", .backends = {echo.text()}, .listener = terminates({a})});
    ProxyProcess proxy(config);
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13})
        for (const bool tickets : {true, false}) {
            const auto options = of(version, tickets);
            const TlsSession session = session_from(proxy.address(), options);
            // Without a certificate there is no way in, whatever else is shown.
            TlsClient thief(options, session);
            const bool entered = thief.open(proxy.address("mutual")) && thief.ping();
            EXPECT_FALSE(entered);
            EXPECT_FALSE(resumes(proxy.address("other"), options, session));
            // Nor does a session with a certificate count elsewhere.
            auto known = options;
            known.certificate = &client;
            const TlsSession mutual = session_from(proxy.address("mutual"), known);
            EXPECT_FALSE(resumes(proxy.address(), options, mutual));
        }
    EXPECT_EQ(handshakes_of(proxy, "resumed"), 0);
    EXPECT_EQ(handshakes_of(proxy, "resumed", "mutual"), 0);
}

TEST_F(TlsResumption, T12_shared_ticket_keys_do_not_change_that) {
    const std::string key = key_file("ticket.key", 'k');
    const std::string shared = "session_ticket_key_files = [" + in_quotes(key) + "]";
    ConfigText config = terminating(shared);
    config.services.push_back(
        {.name = "mutual",
         .backends = {echo.text()},
         .listener = terminates({a}, shared + ", client_auth = \"required\", client_ca = " +
                                         in_quotes(pki.ca_file()))});
    ProxyProcess proxy(config);
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsSession session = session_from(proxy.address(), of(version));
        TlsClient thief(of(version), session);
        const bool entered = thief.open(proxy.address("mutual")) && thief.ping();
        EXPECT_FALSE(entered);
    }
}

TEST_F(TlsResumption, T12_resumed_session_keeps_the_name_of_its_client) {
    const Pair client = pki.client("client");
    ProxyProcess proxy(
        terminating("client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file())));
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        auto options = of(version);
        options.certificate = &client;
        const TlsSession session = session_from(proxy.address(), options);
        EXPECT_TRUE(resumes(proxy.address(), options, session));
    }
    for (const LogLine& line : expect_lines(proxy, 4))
        EXPECT_NE(line.tls.client_cert.find("client"), std::string::npos) << line.raw;
}

TEST_F(TlsResumption, T12_session_ends_with_the_right_to_it) {
    // Whoever the rules of today do not let in cannot come with a session of yesterday.
    const Pair client = pki.client("client");
    const std::string mutual =
        "client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file());
    ConfigText config = terminating(mutual);
    ProxyProcess proxy(config);
    auto options = asks();
    options.certificate = &client;
    const TlsSession session = session_from(proxy.address(), options);
    const std::string crl = pki.revoke("crl.pem", {client.serial});
    config.services[0].listener = terminates({a}, mutual + ", client_crl = " + in_quotes(crl));
    ASSERT_TRUE(proxy.change_to(config));
    TlsClient late(options, session);
    const bool entered = late.open(proxy.address()) && late.ping();
    EXPECT_FALSE(entered);
}

TEST_F(TlsResumption, a_session_made_for_another_name_is_declined) {
    const Pair b = pki.server("b.example");
    ConfigText config = terminating();
    config.services[0].listener = terminates({a, b}, "strict_sni = true");
    ProxyProcess proxy(config);
    for (const bool tickets : {true, false}) {
        const auto options = of(TlsVersion::tls12, tickets);
        const TlsSession session = session_from(proxy.address(), options);
        ASSERT_TRUE(session);
        auto other = options;
        other.server_name = "b.example";
        EXPECT_FALSE(resumes(proxy.address(), other, session));
        EXPECT_TRUE(resumes(proxy.address(), options, session));
        auto unknown = options;
        unknown.server_name = "unknown.example";
        TlsClient stranger(unknown, session);
        EXPECT_FALSE(stranger.open(proxy.address()));
        EXPECT_EQ(stranger.alert(), alerts::unrecognized_name);
    }
    std::vector<std::string> names;
    for (const LogLine& line : expect_lines(proxy, 8)) names.push_back(line.sni);
    std::ranges::sort(names);
    EXPECT_EQ(names, (std::vector<std::string>{"a.example", "a.example", "a.example", "a.example",
                                               "b.example", "b.example", "unknown.example",
                                               "unknown.example"}));
}

// ---- T13

TEST_F(TlsResumption, T13_tickets_survive_reloads) {
    ConfigText config = terminating();
    ProxyProcess proxy(config);
    const TlsSession session = session_from(proxy.address(), of(TlsVersion::tls13));
    for (int i = 0; i < 2; ++i) {
        config.services[0].timeouts = "idle = \"" + std::to_string(10 + i) + "m\"";
        ASSERT_TRUE(proxy.change_to(config));
        EXPECT_TRUE(resumes(proxy.address(), of(TlsVersion::tls13), session)) << i;
    }
}

TEST_F(TlsResumption, T13_tickets_survive_a_new_certificate) {
    ProxyProcess proxy(terminating());
    const TlsSession session = session_from(proxy.address(), of(TlsVersion::tls13));
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    std::filesystem::rename(fresh.key_file, a.key_file);
    std::filesystem::rename(fresh.cert_file, a.cert_file);
    ASSERT_TRUE(wait_for([&] {
        TlsClient client;
        return client.open(proxy.address()) && client.peer_serial() == fresh.serial;
    }));
    EXPECT_TRUE(resumes(proxy.address(), of(TlsVersion::tls13), session));
}

TEST_F(TlsResumption, T13_tickets_survive_upgrades) {
    ProxyProcess proxy(terminating());
    std::vector<TlsSession> sessions;
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13})
        sessions.push_back(session_from(proxy.address(), of(version)));
    for (int upgrades = 1; upgrades <= 2; ++upgrades) {
        ASSERT_TRUE(proxy.upgrade());
        EXPECT_TRUE(resumes(proxy.address(), of(TlsVersion::tls12), sessions[0])) << upgrades;
        EXPECT_TRUE(resumes(proxy.address(), of(TlsVersion::tls13), sessions[1])) << upgrades;
        // What the process before has counted stays counted.
        EXPECT_TRUE(wait_for([&] {
            return handshakes_of(proxy, "full") == 2 &&
                   handshakes_of(proxy, "resumed") == 2 * upgrades;
        })) << handshakes_of(proxy, "full")
            << handshakes_of(proxy, "resumed");
    }
    EXPECT_EQ(proxy.errors().find("ticket_keys"), std::string::npos) << proxy.errors();
}

TEST_F(TlsResumption, T13_an_upgrade_that_brings_key_files_goes_by_them) {
    ConfigText config = terminating();
    ProxyProcess proxy(config);
    const auto options = of(TlsVersion::tls13);
    const TlsSession random = session_from(proxy.address(), options);
    const std::string shared =
        "session_ticket_key_files = [" + in_quotes(key_file("ticket.key", 'k')) + "]";
    config.services[0].listener = terminates({a}, shared);
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_FALSE(resumes(proxy.address(), options, random));
    // Those of files are not handed over: without files there are new ones.
    const TlsSession with_file = session_from(proxy.address(), options);
    proxy.rewrite(terminating());
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_FALSE(resumes(proxy.address(), options, with_file));
}

TEST_F(TlsResumption, T13_instances_with_the_same_key_file_take_each_others_tickets) {
    const std::string shared =
        "session_ticket_key_files = [" + in_quotes(key_file("ticket.key", 'k')) + "]";
    ProxyProcess first(terminating(shared));
    ProxyProcess second(terminating(shared));
    ProxyProcess stranger(terminating());
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        const TlsSession session = session_from(first.address(), of(version));
        EXPECT_TRUE(resumes(second.address(), of(version), session));
        EXPECT_FALSE(resumes(stranger.address(), of(version), session));
    }
}

TEST_F(TlsResumption, T13_key_files_are_watched_and_the_old_one_opens_as_long_as_it_is_listed) {
    const std::string newest = key_file("newest.key", 'a');
    const std::string oldest = key_file("oldest.key", 'b');
    ProxyProcess proxy(terminating("session_ticket_key_files = [" + in_quotes(newest) + ", " +
                                   in_quotes(oldest) + "]"));
    const auto options = of(TlsVersion::tls13);
    const TlsSession session = session_from(proxy.address(), options);
    // What was the newest becomes the oldest.
    std::filesystem::rename(key_file("x", 'a'), oldest);
    std::filesystem::rename(key_file("y", 'c'), newest);
    // As soon as another instance's ticket with the new key is taken, it is in force.
    const std::string only_new =
        "session_ticket_key_files = [" + in_quotes(key_file("c.key", 'c')) + "]";
    ProxyProcess other(terminating(only_new));
    const TlsSession with_new = session_from(other.address(), options);
    EXPECT_TRUE(wait_for([&] { return resumes(proxy.address(), options, with_new); }));
    EXPECT_TRUE(resumes(proxy.address(), options, session));
    // Gone from all files: a full handshake, and no error.
    std::filesystem::rename(key_file("z", 'd'), oldest);
    EXPECT_TRUE(wait_for([&] { return !resumes(proxy.address(), options, session); }));
}

TEST_F(TlsResumption, T13_ticket_that_nobody_can_open_is_a_full_handshake) {
    ProxyProcess proxy(terminating());
    TlsEchoServer elsewhere({.pair = a});
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        const TlsSession foreign = session_from(Address::parse(elsewhere.text()), of(version));
        EXPECT_FALSE(resumes(proxy.address(), of(version), foreign));
    }
    EXPECT_EQ(handshakes_of(proxy, "full"), 2);
}

TEST_F(TlsResumption, C2_ticket_key_of_a_wrong_size_is_an_error) {
    const std::string bad = pki.write("short.key", std::string(79, 'k'));
    ConfigText config = terminating("session_ticket_key_files = [" + in_quotes(bad) + "]");
    config.access_log = "target = \"off\"";
    const Finished finished =
        run_penstock({"check", "-c", files.write("check.toml", config.toml())});
    EXPECT_EQ(finished.exit_status, 2) << finished.errors;
    EXPECT_NE((finished.errors + finished.output).find(bad), std::string::npos)
        << finished.errors << finished.output;
}

}  // namespace
}  // namespace penstock::test
