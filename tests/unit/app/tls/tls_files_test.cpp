// Certificates that change on disk.
#include "app/tls/tls_files.hpp"

#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/shortage.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"
#include "tests/unit/watched_loop.hpp"

namespace penstock::app {
namespace {

using namespace std::chrono_literals;
using net::tls::certificate_for;
using net::tls::make_crl;
using net::tls::test_authority;
using net::tls::TestCertificate;

/// A server that has not started, with one listener that ends TLS.
class FollowedCertificates : public testing::Test {
protected:
    ~FollowedCertificates() override {
        if (!files) return;
        files->stop();
        files.reset();  // its builder has ended; what it has handed over is not run any more
        server->withdraw();
    }
    /// At once: half of a key is a key, too.
    std::string write(const std::string& name, const std::string& text) const {
        const std::string fresh = directory.path("fresh");
        std::ofstream(fresh) << text;
        ::chmod(fresh.c_str(), 0600);
        std::filesystem::rename(fresh, directory.path(name));
        return directory.path(name);
    }
    void start(const config::CertificateFile& certificate,
               const std::vector<std::string>& ticket_keys = {}, const std::string& crl = {}) {
        auto made = std::make_shared<config::Config>();
        config = made;
        auto& listener = made->listeners.emplace_back();
        listener.name = "web";
        listener.bind.emplace_back(*Endpoint::parse("127.0.0.1:0"));
        listener.tls.emplace();
        listener.tls->certificates = {certificate};
        listener.tls->session_ticket_key_files = ticket_keys;
        if (!crl.empty()) {
            listener.tls->client_auth = config::ClientAuth::required;
            listener.tls->client_ca = write("ca.pem", test_authority().cert_pem);
            listener.tls->client_crl = crl;
        }
        auto loaded = load_tls(*made, tickets);
        ASSERT_TRUE(loaded) << loaded.error()[0];
        auto opened = Server::open(made,
                                   {.workers = 1,
                                    .max_connections = 10,
                                    .buffer_cap_bytes = 1 << 20,
                                    .access = AccessPolicies(1),
                                    .tls = loaded->contexts(),
                                    .first = {}},
                                   log);
        ASSERT_TRUE(opened) << opened.error();
        server = *std::move(opened);
        files = std::make_unique<TlsFiles>(context, *server, tickets, log);
        files->on_change([this](const std::string& text) { changes.push_back(text); });
        if (before_following) before_following();
        files->follow(made, *std::move(loaded));
    }
    template <typename Condition>
    bool until(Condition holds) {
        return test::run_until(context, holds);
    }
    [[nodiscard]] std::vector<std::string> subjects() const {
        std::vector<std::string> all;
        for (const auto& certificate : files->certificates())
            all.push_back(certificate.info.subject);
        return all;
    }
    [[nodiscard]] bool serves(const std::string& name) const {
        const auto all = subjects();
        return std::ranges::any_of(
            all, [&](const std::string& subject) { return subject.find(name) != subject.npos; });
    }

    test::TempDir directory;
    test::Recorder log;
    std::vector<std::string> changes;
    boost::asio::io_context context{1};
    TicketKeyBook tickets;
    ConfigPtr config;
    std::function<void()> before_following;
    std::unique_ptr<Server> server;
    std::unique_ptr<TlsFiles> files;
};

TEST_F(FollowedCertificates, half_a_pair_changes_nothing_until_the_other_half_has_come) {
    const TestCertificate first = certificate_for("first.test");
    const TestCertificate second = certificate_for("second.test");
    start({.cert = write("a.pem", first.cert_pem), .key = write("a.key", first.key_pem)});
    write("a.key", second.key_pem);
    ASSERT_TRUE(until([&] { return files->rejected() > 0; }));
    EXPECT_TRUE(serves("first.test"));
    EXPECT_EQ(files->taken(), 0U);
    ASSERT_FALSE(changes.empty());
    EXPECT_NE(changes[0].find("the certificates and keys of before stay in force"),
              std::string::npos)
        << changes[0];
    EXPECT_NE(changes[0].find("a.key"), std::string::npos) << changes[0];
    write("a.pem", second.cert_pem);
    ASSERT_TRUE(until([&] { return serves("second.test"); }));
    EXPECT_FALSE(serves("first.test"));
    EXPECT_EQ(files->taken(), 1U);
    EXPECT_EQ(log.count("listener web: changed certificates and keys are in force"), 1);
}

TEST_F(FollowedCertificates, the_same_once_more_is_no_change) {
    const TestCertificate first = certificate_for("first.test");
    const TestCertificate second = certificate_for("second.test");
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)});
    write("both.pem", first.cert_pem + first.key_pem);
    files->look_again();
    write("both.pem", second.cert_pem + second.key_pem);
    ASSERT_TRUE(until([&] { return serves("second.test"); }));
    EXPECT_EQ(files->taken(), 1U);
    EXPECT_EQ(files->rejected(), 0U);
}

TEST_F(FollowedCertificates, a_pattern_takes_up_files_that_come_and_watches_them) {
    const TestCertificate first = certificate_for("first.test");
    const TestCertificate second = certificate_for("second.test");
    write("1.pem", first.cert_pem + first.key_pem);
    start({.cert = directory.path("*.pem")});
    EXPECT_EQ(subjects().size(), 1U);
    write("2.pem", second.cert_pem + second.key_pem);
    ASSERT_TRUE(until([&] { return subjects().size() == 2; }));
    const TestCertificate third = certificate_for("third.test");
    write("2.pem", third.cert_pem + third.key_pem);
    ASSERT_TRUE(until([&] { return serves("third.test"); }));
    EXPECT_FALSE(serves("second.test"));
    std::filesystem::remove(directory.path("2.pem"));
    ASSERT_TRUE(until([&] { return subjects().size() == 1; }));
    EXPECT_TRUE(serves("first.test"));
}

TEST_F(FollowedCertificates, C9_what_changes_between_loading_and_following_is_seen) {
    const TestCertificate first = certificate_for("first.test");
    const TestCertificate second = certificate_for("second.test");
    before_following = [&] { write("both.pem", second.cert_pem + second.key_pem); };
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)});
    EXPECT_TRUE(serves("first.test"));
    EXPECT_TRUE(until([&] { return serves("second.test"); }));
    EXPECT_EQ(files->taken(), 1U);
}

// A reload reads the files, and waits for the first verdicts on new backends meanwhile.
TEST_F(FollowedCertificates,
       C9_a_reload_that_has_read_the_files_before_they_changed_undoes_nothing) {
    const TestCertificate first = certificate_for("first.test");
    const TestCertificate second = certificate_for("second.test");
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)});
    auto loaded = load_tls(*config, tickets);
    ASSERT_TRUE(loaded) << loaded.error()[0];
    write("both.pem", second.cert_pem + second.key_pem);
    ASSERT_TRUE(until([&] { return serves("second.test"); }));
    files->keep_unchanged(*loaded, *config);
    files->follow(config, *std::move(loaded));
    EXPECT_TRUE(until([&] { return serves("second.test"); }));
    EXPECT_FALSE(serves("first.test"));
}

TEST_F(FollowedCertificates, another_configuration_asks_no_fifo_again_whose_password_is_known) {
    const TestCertificate first = certificate_for("first.test");
    const std::string fifo = directory.path("fifo");
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    auto told = std::async(std::launch::async, [&] { std::ofstream(fifo) << "secret\n"; });
    start({.cert = write("a.pem", first.cert_pem),
           .key = write("a.key", encrypt_key(first, "secret")),
           .key_password_file = fifo});
    told.get();
    auto loaded = load_tls(*config, tickets, files->in_force());
    ASSERT_TRUE(loaded) << loaded.error()[0];
    EXPECT_EQ(loaded->listeners.at("web").context,
              files->in_force().listeners.at("web").material.context);
    // What has changed is read, and what has other settings.
    const TestCertificate second = certificate_for("second.test");
    write("a.pem", second.cert_pem);
    write("a.key", second.key_pem);
    loaded = load_tls(*config, tickets, files->in_force());
    ASSERT_FALSE(loaded) << "nobody fills the FIFO";
    config::Config other = *config;
    other.listeners[0].tls->certificates[0].key_password_file.clear();
    loaded = load_tls(other, tickets, files->in_force());
    ASSERT_TRUE(loaded) << loaded.error()[0];
}

TEST_F(FollowedCertificates, a_list_that_has_expired_does_not_replace_one_that_has_not) {
    const TestCertificate first = certificate_for("first.test");
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)}, {},
          write("crl.pem", make_crl(test_authority(), {})));
    write("crl.pem", make_crl(test_authority(), {7}, -1));
    ASSERT_TRUE(until([&] { return files->rejected() > 0; }));
    EXPECT_EQ(files->taken(), 0U);
    const auto lists = files->revocations();
    ASSERT_EQ(lists.size(), 1U);
    EXPECT_EQ(lists[0].owner, "web");
    EXPECT_GT(lists[0].next_update, std::chrono::system_clock::now());
    ASSERT_FALSE(changes.empty());
    EXPECT_NE(changes[0].find("crl.pem: the list of revocations of CN=Test Authority has expired"),
              std::string::npos)
        << changes[0];
    write("crl.pem", make_crl(test_authority(), {7}));
    EXPECT_TRUE(until([&] { return files->taken() == 1; }));
}

TEST_F(FollowedCertificates, T13_keys_of_tickets_change_with_their_files) {
    const TestCertificate first = certificate_for("first.test");
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)},
          {write("ticket.key", std::string(80, 'a'))});
    const auto keys = tickets.of("web");
    ASSERT_TRUE(keys->shared());
    EXPECT_EQ(keys->keys()->front().name[0], 'a');
    write("ticket.key", std::string(80, 'b'));
    EXPECT_TRUE(until([&] { return keys->keys()->front().name[0] == 'b'; }));
    write("ticket.key", "short");
    ASSERT_TRUE(until([&] { return files->rejected() > 0; }));
    EXPECT_EQ(keys->keys()->front().name[0], 'b');
}

TEST_F(FollowedCertificates, T13_the_age_of_random_keys_counts_from_the_start) {
    const TestCertificate first = certificate_for("first.test");
    start({.cert = write("both.pem", first.cert_pem + first.key_pem)});
    EXPECT_FALSE(tickets.of("web")->shared());
    EXPECT_TRUE(tickets.of("web")->since());
}

TEST_F(FollowedCertificates, without_memory_for_others_those_of_before_stay) {
    const TestCertificate first = certificate_for("first.test");
    start({.cert = write("a.pem", first.cert_pem), .key = write("a.key", first.key_pem)});
    {
        const test::Shortage shortage(1 << 16);
        write("a.pem", first.cert_pem + "# " + std::string(1 << 18, 'x') + '\n');
        ASSERT_TRUE(until([&] { return files->rejected() > 0; }));
        EXPECT_GT(test::Shortage::refused(), 0U);
    }
    EXPECT_TRUE(log.says("there is not enough memory"));
    EXPECT_TRUE(serves("first.test"));
}

}  // namespace
}  // namespace penstock::app
