// Which certificate a client is shown, what a certificate may be like, and what happens when its
// file changes.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

struct TlsCertificates : TlsScene {
    /// The serial number of the certificate that a client is shown; 0 = none.
    static std::int64_t shown(const ProxyProcess& proxy, const TlsClientOptions& options = {}) {
        TlsClient client(options);
        if (!client.open(proxy.address())) return 0;
        return client.peer_serial();
    }
    static std::int64_t shown(const ProxyProcess& proxy, const std::string& name) {
        return shown(proxy, TlsClientOptions{.server_name = name});
    }
    static bool comes_to_show(const ProxyProcess& proxy, const Pair& pair) {
        return wait_for([&] { return shown(proxy) == pair.serial; });
    }
    static double reloads(const ProxyProcess& proxy, const std::string& result) {
        return metrics_of(proxy).value("penstock_tls_certificate_reloads_total{result=\"" + result +
                                       "\"}");
    }
    static void replace(const std::string& path, const std::string& text) {
        const std::string fresh = path + ".new";
        std::ofstream(fresh) << text;
        fs::permissions(fresh, fs::perms(0600));
        fs::rename(fresh, path);
    }
    /// With the admin API over TLS, too.
    [[nodiscard]] ConfigText with_admin_certificate(const Pair& pair) const {
        return with_tcp({echo.text()},
                        "bind = \"127.0.0.1:0\"\naccess = \"metrics\"\ntls = { cert = " +
                            in_quotes(pair.cert_file) + ", key = " + in_quotes(pair.key_file) +
                            " }\n");
    }
    /// What `penstock check` says about this listener.
    [[nodiscard]] Finished check(const std::string& listener,
                                 const std::string& process = "workers = 1") const {
        ConfigText config = one_service({echo.text()}, "", "", listener);
        config.process = process;
        config.access_log = "target = \"off\"";
        return run_penstock({"check", "-c", files.write("check.toml", config.toml())});
    }
};

TEST_F(TlsCertificates, are_chosen_by_name) {
    const Pair b = pki.issue("b", {.names = {"DNS:b.example", "DNS:*.b.example"}});
    const Pair c = pki.issue("c", {.names = {"DNS:c.b.example"}});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({a, b, c})));
    EXPECT_EQ(shown(proxy, "a.example"), a.serial);
    EXPECT_EQ(shown(proxy, "b.example"), b.serial);
    EXPECT_EQ(shown(proxy, "x.b.example"), b.serial);
    EXPECT_EQ(shown(proxy, "c.b.example"), c.serial);
    EXPECT_EQ(shown(proxy, "C.B.Example"), c.serial);
    EXPECT_EQ(shown(proxy, "x.c.b.example"), a.serial);  // a wildcard is one label
    EXPECT_EQ(shown(proxy, "unknown.example"), a.serial);
    EXPECT_EQ(shown(proxy), a.serial);
}

TEST_F(TlsCertificates, strict_sni_refuses_unknown_and_absent_names) {
    const Pair b = pki.issue("b", {.names = {"DNS:b.example", "IP:10.0.0.1"}});
    ConfigText config = one_service(
        {echo.text()}, "", "",
        terminates({a, b}, "strict_sni = true") + "sni = { \"known.example\" = \"in\" }\n");
    ProxyProcess proxy(config);
    EXPECT_EQ(shown(proxy, "a.example"), a.serial);
    EXPECT_EQ(shown(proxy, "b.example"), b.serial);
    EXPECT_EQ(shown(proxy, "known.example"), a.serial);
    for (const char* name : {"unknown.example", "", "10.0.0.1"}) {  // an address is no name
        TlsClient client({.server_name = name});
        EXPECT_FALSE(client.open(proxy.address())) << name;
        EXPECT_EQ(client.alert(), alerts::unrecognized_name) << name;
    }
    const auto lines = expect_lines(proxy, 6);
    EXPECT_EQ(std::ranges::count(lines, "tls_unknown_name", &LogLine::reason), 3);
    EXPECT_EQ(handshakes_of(proxy, "failed"), 3);
}

TEST_F(TlsCertificates, of_both_kinds_for_one_name_serve_each_client_what_it_can_use) {
    const Pair rsa =
        pki.issue("rsa", {.names = {"DNS:a.example"}, .common_name = "r", .key = KeyKind::rsa});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({a, rsa})));
    TlsClientOptions only_rsa = asks();
    only_rsa.signatures = "RSA-PSS+SHA256:RSA+SHA256";
    only_rsa.max_version = TlsVersion::tls12;
    EXPECT_EQ(shown(proxy, only_rsa), rsa.serial);
    TlsClientOptions only_ecdsa = asks();
    only_ecdsa.signatures = "ECDSA+SHA256";
    EXPECT_EQ(shown(proxy, only_ecdsa), a.serial);
}

TEST_F(TlsCertificates, may_stand_in_one_file_with_their_key_and_be_many) {
    const Pair b = pki.server("b.example");
    fs::create_directory(files.path("certs"));
    pki.write("certs/1.pem", a.cert_pem + a.key_pem);
    pki.write("certs/2.pem", b.cert_pem + b.key_pem);
    ProxyProcess proxy(one_service(
        {echo.text()}, "", "",
        "tls = { certificates = [" + in_quotes(files.path("certs") + "/*.pem") + "] }\n"));
    EXPECT_EQ(shown(proxy, "a.example"), a.serial);
    EXPECT_EQ(shown(proxy, "b.example"), b.serial);
    EXPECT_EQ(shown(proxy), a.serial);
}

TEST_F(TlsCertificates, come_with_their_chain) {
    const Pair deep = pki.issue("deep", {.names = {"DNS:deep.example"}, .intermediates = 4});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({deep})));
    TlsClient client({.server_name = "deep.example", .ca_file = pki.ca_file()});
    EXPECT_TRUE(client.open(proxy.address())) << client.error();
}

TEST_F(TlsCertificates, keys_with_a_password_are_opened_with_one_of_the_file) {
    const std::string key = pki.encrypt_key("locked.key", a, "second");
    const std::string passwords = pki.write("passwords", "first\r\nsecond\nthird\n");
    Pair locked = a;
    locked.key_file = key;
    ProxyProcess proxy(
        one_service({echo.text()}, "", "",
                    "tls = { certificates = [" + certificate_entry(locked, passwords) + "] }\n"));
    EXPECT_EQ(shown(proxy), a.serial);
}

// ---- C2: what check and run say

TEST_F(TlsCertificates, C2_what_cannot_work_is_an_error_that_names_the_file) {
    const Pair b = pki.server("b.example");
    const std::string garbage = pki.write("garbage.pem", "no certificate\n");
    const auto entry = [](const std::string& cert, const std::string& key) {
        return "tls = { certificates = [{ cert = " + in_quotes(cert) + ", key = " + in_quotes(key) +
               " }] }\n";
    };
    const std::string locked = pki.encrypt_key("locked.key", a, "secret");
    const std::string wrong = pki.write("wrong-password", "guess\n");
    struct Case {
        std::string listener;
        std::string names;
    };
    const std::vector<Case> cases{
        {entry(a.cert_file, b.key_file), b.key_file},
        {entry(garbage, a.key_file), garbage},
        {entry(files.path("absent.pem"), a.key_file), files.path("absent.pem")},
        {entry(a.cert_file, files.path("absent.key")), files.path("absent.key")},
        {entry(a.cert_file, locked), locked},
        {"tls = { certificates = [{ cert = " + in_quotes(a.cert_file) + ", key = " +
             in_quotes(locked) + ", key_password_file = " + in_quotes(wrong) + " }] }\n",
         locked},
        {terminates({a}, "client_auth = \"required\", client_ca = " + in_quotes(garbage)), garbage},
    };
    for (const Case& one : cases) {
        const Finished finished = check(one.listener);
        EXPECT_EQ(finished.exit_status, 2) << one.listener << finished.errors;
        EXPECT_NE((finished.errors + finished.output).find(one.names), std::string::npos)
            << one.listener << finished.errors << finished.output;
    }
}

TEST_F(TlsCertificates, C2_expired_certificate_is_a_warning) {
    const Pair expired =
        pki.issue("expired", {.names = {"DNS:old.example"}, .from_days = -40, .to_days = -2});
    const Finished finished = check(terminates({expired}));
    EXPECT_EQ(finished.exit_status, 0) << finished.errors;
    EXPECT_NE((finished.errors + finished.output).find("expired"), std::string::npos)
        << finished.errors << finished.output;
}

TEST_F(TlsCertificates, C2_key_that_others_can_read_is_a_warning_or_an_error) {
    ASSERT_EQ(::chmod(a.key_file.c_str(), 0644), 0);
    const Finished lax = check(terminates({a}));
    EXPECT_EQ(lax.exit_status, 0) << lax.errors;
    EXPECT_NE((lax.errors + lax.output).find(a.key_file), std::string::npos) << lax.errors;
    const Finished strict = check(terminates({a}), "workers = 1\nstrict_permissions = true");
    EXPECT_EQ(strict.exit_status, 2) << strict.errors;
    EXPECT_NE((strict.errors + strict.output).find(a.key_file), std::string::npos) << strict.errors;
}

// ---- Expiry

TEST_F(TlsCertificates, tell_when_they_end_and_warn_three_weeks_before) {
    const Pair soon =
        pki.issue("soon", {.names = {"DNS:soon.example"}, .from_days = -1, .to_days = 20});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({a, soon})));
    const MetricsPage page = metrics_of(proxy);
    for (const Pair& pair : {a, soon}) {
        const double end = page.sum("penstock_tls_certificate_not_after_timestamp_seconds",
                                    {"owner=\"in\"", "file=\"" + pair.cert_file + "\""});
        EXPECT_EQ(end, static_cast<double>(pair.not_after));
    }
    EXPECT_TRUE(proxy.says(soon.cert_file)) << proxy.errors();
    EXPECT_EQ(proxy.errors().find(a.cert_file), std::string::npos) << proxy.errors();
}

// ---- Changes on disk

TEST_F(TlsCertificates, C9_new_pair_serves_new_clients_and_old_ones_stay) {
    ProxyProcess proxy(terminating());
    TlsClient old = connected(proxy, asks());
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    replace(a.cert_file, fresh.cert_pem);
    replace(a.key_file, fresh.key_pem);
    EXPECT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
    EXPECT_TRUE(old.ping());
    EXPECT_GE(reloads(proxy, "success"), 1);
    EXPECT_EQ(metrics_of(proxy).sum("penstock_tls_certificate_not_after_timestamp_seconds",
                                    {"owner=\"in\""}),
              static_cast<double>(fresh.not_after));
}

TEST_F(TlsCertificates, C9_key_first_and_then_the_certificate) {
    ProxyProcess proxy(terminating());
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    replace(a.key_file, fresh.key_pem);
    // Until they are a pair again the old one serves.
    ASSERT_TRUE(proxy.says(a.key_file)) << proxy.errors();
    EXPECT_EQ(shown(proxy), a.serial);
    replace(a.cert_file, fresh.cert_pem);
    EXPECT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
}

TEST_F(TlsCertificates, C9_key_with_another_password_and_then_the_password) {
    const std::string passwords = pki.write("passwords", "before\n");
    Pair locked = a;
    locked.key_file = pki.encrypt_key("locked.key", a, "before");
    ProxyProcess proxy(
        one_service({echo.text()}, "", "",
                    "tls = { certificates = [" + certificate_entry(locked, passwords) + "] }\n"));
    fs::rename(pki.encrypt_key("other.key", a, "afterwards"), locked.key_file);
    ASSERT_TRUE(wait_for([&] { return reloads(proxy, "failure") == 1; })) << proxy.errors();
    EXPECT_TRUE(proxy.says("none of the passwords")) << proxy.errors();
    EXPECT_EQ(shown(proxy), a.serial);
    replace(passwords, "afterwards\n");
    EXPECT_TRUE(wait_for([&] { return reloads(proxy, "success") == 1; })) << proxy.errors();
}

// ---- The admin API's own

TEST_F(TlsCertificates, C9_that_of_the_admin_api_is_watched_like_the_others) {
    const Pair own = pki.issue("admin", {.names = {"DNS:admin.example"}, .to_days = 20});
    ProxyProcess proxy(with_admin_certificate(own));
    const auto shown_by_admin = [&proxy, port = tcp_admin_port(proxy)] {
        TlsClient client;
        const bool open = client.open(Address::parse("127.0.0.1:" + port));
        if (!open || !client.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") ||
            client.receive_text(12) != "HTTP/1.1 200")
            return std::int64_t{0};
        return client.peer_serial();
    };
    EXPECT_EQ(shown_by_admin(), own.serial);
    EXPECT_TRUE(proxy.says(own.cert_file + ": the certificate expires in 19 days"))
        << proxy.errors();
    const auto end = [&proxy] {
        return metrics_of(proxy).sum("penstock_tls_certificate_not_after_timestamp_seconds",
                                     {"owner=\"admin 127.0.0.1:0\""});
    };
    EXPECT_EQ(end(), static_cast<double>(own.not_after));
    // Half of a pair changes nothing.
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:admin.example"}});
    replace(own.key_file, fresh.key_pem);
    ASSERT_TRUE(wait_for([&] { return reloads(proxy, "failure") >= 1; })) << proxy.errors();
    EXPECT_EQ(shown_by_admin(), own.serial);
    replace(own.cert_file, fresh.cert_pem);
    EXPECT_TRUE(wait_for([&] { return shown_by_admin() == fresh.serial; })) << proxy.errors();
    EXPECT_EQ(end(), static_cast<double>(fresh.not_after));
}

TEST_F(TlsCertificates, T1_that_of_the_admin_api_has_the_same_policy) {
    const Pair own = pki.issue("admin", {.names = {"DNS:admin.example"}, .key = KeyKind::rsa});
    ProxyProcess proxy(with_admin_certificate(own));
    const auto admin = Address::parse("127.0.0.1:" + tcp_admin_port(proxy));
    TlsClientOptions options{.max_version = TlsVersion::tls12};
    TlsClient usual(options);
    EXPECT_TRUE(usual.open(admin)) << usual.error();
    for (const char* ciphers : {"AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256"}) {
        options.ciphers = ciphers;
        TlsClient client(options);
        EXPECT_FALSE(client.open(admin)) << ciphers;
        EXPECT_EQ(client.alert(), alerts::handshake_failure) << ciphers;
    }
}

TEST_F(TlsCertificates, C2_key_of_the_admin_api_is_looked_at_like_the_others) {
    const Pair own = pki.issue("admin", {.names = {"DNS:admin.example"}});
    fs::permissions(own.key_file, fs::perms(0644));
    ConfigText config = with_admin_certificate(own);
    config.admin.erase(0, config.admin.rfind("[[admin.listener]]"));  // the unix socket
    for (const bool strict : {false, true}) {
        config.process = strict ? "workers = 1\nstrict_permissions = true" : "workers = 1";
        config.access_log = "target = \"off\"";
        const Finished done =
            run_penstock({"check", "-c", files.write("check.toml", config.toml())});
        EXPECT_EQ(done.exit_status, strict ? 2 : 0) << done.errors;
        EXPECT_NE((done.errors + done.output).find(own.key_file), std::string::npos) << done.errors;
    }
}

TEST_F(TlsCertificates, C9_bad_certificate_changes_nothing) {
    ProxyProcess proxy(terminating());
    replace(a.cert_file, a.cert_pem.substr(0, a.cert_pem.size() / 3));
    ASSERT_TRUE(wait_for([&] { return reloads(proxy, "failure") >= 1; })) << proxy.errors();
    EXPECT_EQ(shown(proxy), a.serial);
    EXPECT_TRUE(proxy.says(a.cert_file)) << proxy.errors();
    fs::remove(a.cert_file);
    EXPECT_EQ(shown(proxy), a.serial);
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    replace(a.key_file, fresh.key_pem);
    replace(a.cert_file, fresh.cert_pem);
    EXPECT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
}

TEST_F(TlsCertificates, C9_directory_behind_a_symlink_is_replaced_at_once) {
    // As in a mounted secret: files are links into ..data, and that is a link to a directory.
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    const fs::path root = files.path() / "secret";
    for (const auto& [directory, pair] : {std::pair{"..1", a}, std::pair{"..2", fresh}}) {
        fs::create_directories(root / directory);
        pki.write("secret/" + std::string(directory) + "/tls.crt", pair.cert_pem);
        pki.write("secret/" + std::string(directory) + "/tls.key", pair.key_pem);
    }
    fs::create_symlink("..1", root / "..data");
    fs::create_symlink("..data/tls.crt", root / "tls.crt");
    fs::create_symlink("..data/tls.key", root / "tls.key");
    Pair mounted;
    mounted.cert_file = root / "tls.crt";
    mounted.key_file = root / "tls.key";
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({mounted})));
    EXPECT_EQ(shown(proxy), a.serial);
    fs::create_symlink("..2", root / "..new");
    fs::rename(root / "..new", root / "..data");
    EXPECT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
}

TEST_F(TlsCertificates, C9_files_written_in_place_are_seen_too) {
    ProxyProcess proxy(terminating());
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:a.example"}});
    std::ofstream(a.cert_file) << fresh.cert_pem;
    std::ofstream(a.key_file) << fresh.key_pem;
    EXPECT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
}

TEST_F(TlsCertificates, C9_nobody_is_refused_while_files_change) {
    ProxyProcess proxy(terminating());
    std::atomic<bool> stop = false;
    std::atomic<int> failed = 0;
    std::atomic<int> served = 0;
    std::thread load([&] {
        while (!stop) {
            TlsClient client(asks());
            const bool fine = client.open(proxy.address()) && client.ping();
            ++(fine ? served : failed);
        }
    });
    Pair last = a;
    for (int i = 0; i < 5; ++i) {
        last = pki.issue("fresh" + std::to_string(i), {.names = {"DNS:a.example"}});
        replace(a.key_file, last.key_pem);
        replace(a.cert_file, last.cert_pem);
        EXPECT_TRUE(comes_to_show(proxy, last)) << i;
    }
    stop = true;
    load.join();
    EXPECT_EQ(failed, 0);
    EXPECT_GT(served, 0);
}

TEST_F(TlsCertificates, reload_takes_other_certificates) {
    const Pair b = pki.server("b.example");
    ConfigText config = terminating();
    ProxyProcess proxy(config);
    TlsClient old = connected(proxy, asks());
    config.services[0].listener = terminates({b});
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_EQ(shown(proxy), b.serial);
    EXPECT_TRUE(old.ping());
    // From TLS to none, and back.
    config.services[0].listener = "";
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(old.ping());
    config.services[0].listener = terminates({a});
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_EQ(shown(proxy), a.serial);
}

TEST_F(TlsCertificates, reload_with_a_broken_pair_is_refused_and_changes_nothing) {
    const Pair b = pki.server("b.example");
    ConfigText config = terminating();
    ProxyProcess proxy(config);
    Pair mixed = b;
    mixed.key_file = a.key_file;
    config.services[0].listener = terminates({mixed});
    EXPECT_FALSE(proxy.change_to(config));
    EXPECT_EQ(shown(proxy), a.serial);
}

TEST_F(TlsCertificates, I12_keys_and_passwords_are_nowhere_to_be_read) {
    const std::string passwords = pki.write("passwords", "correct-horse-battery\n");
    Pair locked = a;
    locked.key_file = pki.encrypt_key("locked.key", a, "correct-horse-battery");
    ConfigText config =
        one_service({echo.text()}, "", "",
                    "tls = { certificates = [" + certificate_entry(locked, passwords) + "] }\n");
    config.log = "level = \"debug\"";
    ProxyProcess proxy(config);
    expect_serving(proxy);
    std::string told = proxy.errors() + proxy.child().output();
    for (const char* page : {"/api/v1/config", "/api/v1/status", "/metrics"})
        told += proxy.admin().get(page).body;
    const std::string key = a.key_pem.substr(a.key_pem.find('\n') + 1, 40);
    EXPECT_EQ(told.find(key), std::string::npos);
    EXPECT_EQ(told.find("correct-horse-battery"), std::string::npos);
    EXPECT_NE(told.find(locked.key_file), std::string::npos);
}

// What could be read into memory: not the program's text, not what others share.
std::string private_memory_of(pid_t pid) {
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    std::ifstream memory("/proc/" + std::to_string(pid) + "/mem", std::ios::binary);
    std::string all;
    for (std::string line; std::getline(maps, line);) {
        unsigned long begin = 0;
        unsigned long end = 0;
        char mode[5]{};
        if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, mode) != 3) continue;
        // Larger ones are the sanitizers' books.
        if (std::string_view(mode) != "rw-p" || end - begin > 1UL << 29) continue;
        std::string piece(end - begin, '\0');
        memory.clear();
        memory.seekg(static_cast<std::streamoff>(begin));
        memory.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        all.append(piece, 0, static_cast<std::size_t>(memory.gcount()));
    }
    return all;
}

// Pieces of each line of a key's text, without its first and last.
std::vector<std::string> marks_of(const std::string& pem) {
    std::vector<std::string> marks;
    std::istringstream text(pem);
    for (std::string line; std::getline(text, line);)
        if (line.size() == 64)
            for (const std::size_t at : {0U, 20U, 40U}) marks.push_back(line.substr(at, 20));
    return marks;
}

TEST_F(TlsCertificates, H8_texts_of_keys_do_not_stay_in_memory) {
    const auto random_key = [](char seed) {
        std::string bytes;
        for (int i = 0; i < 80; ++i) bytes += static_cast<char>(seed * (i + 7) + i * i * 3);
        return bytes;
    };
    // As a key file has it, name, MAC, cipher; in use they stand in another order.
    const auto mark_of = [](const std::string& ticket_key) { return ticket_key.substr(36, 24); };
    const Pair rsa = pki.issue("rsa", {.names = {"DNS:rsa"}, .key = KeyKind::rsa});
    const Pair locked_pair = pki.issue("locked", {.names = {"DNS:l"}, .key = KeyKind::rsa});
    Pair locked = locked_pair;
    locked.key_file = pki.encrypt_key("locked.key", locked_pair, "tulips-in-amsterdam-1636");
    const std::string passwords = pki.write("passwords", "wrong\ntulips-in-amsterdam-1636\n");
    const std::string both = pki.write("both.pem", a.cert_pem + a.key_pem);
    const std::string tickets = pki.write("ticket.key", random_key('a'));
    Pair as_client = rsa;
    as_client.cert_file = pki.write("client-both.pem", rsa.cert_pem + rsa.key_pem);
    as_client.key_file = as_client.cert_file;
    ProxyProcess proxy(
        one_service({echo.text()}, "",
                    encrypts(pki.ca_file(), "client_certificate = " + certificate_entry(as_client)),
                    "tls = { certificates = [" + certificate_entry(rsa) + ", " +
                        certificate_entry(locked, passwords) + ", { cert = " + in_quotes(both) +
                        " }], session_ticket_key_files = [" + in_quotes(tickets) + "] }\n"));
    std::vector<std::string> marks{"tulips-in-amsterdam-1636", mark_of(random_key('a'))};
    const auto add = [&marks](const std::string& pem) {
        for (const auto& mark : marks_of(pem)) marks.push_back(mark);
    };
    add(rsa.key_pem);
    add(locked_pair.key_pem);
    add(a.key_pem);
    ASSERT_GT(marks.size(), 50U);
    const auto expect_none = [&](const char* when) {
        const std::string memory = private_memory_of(proxy.pid());
        ASSERT_GT(memory.size(), 1U << 20U);
        ASSERT_NE(memory.find("ticket.key"), std::string::npos) << "what is there is found";
        std::size_t found = 0;
        for (const auto& mark : marks) found += memory.find(mark) == std::string::npos ? 0 : 1;
        EXPECT_EQ(found, 0U) << when << ", of " << marks.size();
    };
    expect_none("after the start");
    EXPECT_EQ(shown(proxy), rsa.serial);
    const Pair fresh = pki.issue("fresh", {.names = {"DNS:rsa"}, .key = KeyKind::rsa});
    add(fresh.key_pem);
    marks.push_back(mark_of(random_key('b')));
    marks.push_back(random_key('a').substr(16, 32));  // what is out of use is nowhere
    replace(rsa.key_file, fresh.key_pem);
    replace(rsa.cert_file, fresh.cert_pem);
    replace(tickets, random_key('b'));
    ASSERT_TRUE(comes_to_show(proxy, fresh)) << proxy.errors();
    ASSERT_TRUE(wait_for([&] {
        return private_memory_of(proxy.pid()).find(random_key('a').substr(16, 32)) ==
               std::string::npos;
    }));
    expect_none("after a renewal");
}

}  // namespace
}  // namespace penstock::test
