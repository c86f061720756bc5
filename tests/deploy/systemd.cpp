#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include <unistd.h>

#include "tests/deploy/systemd_machine.hpp"
#include "tests/integration/scenario.hpp"
#include "tests/support/access_log.hpp"
#include "tests/support/config_text.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/held_thread.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/tls_client.hpp"
#include "tests/support/traffic.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

const fs::path units = fs::path(PENSTOCK_DEPLOY) / "systemd";
constexpr const char* dropins = "/etc/systemd/system/penstock.service.d/";

const Address port_80 = Address::parse("127.0.0.1:80");

/// What the configuration says; what is left out is as most tests want it.
struct Web {
    std::string bind = "\"127.0.0.1:80\"";  // or a list
    std::string backend{};  // the machine's own
    std::string process{};  // more lines of [process]
    std::string listener{};  // more lines of [[listener]]
};

/// A machine on which the files of deploy/systemd are installed as its README says, with a backend.
/// The test is in its network.
class Installed {
public:
    Installed() {
        // What debuggers want of it is by far the most of it.
        run_program({"strip", "-o", machine.path("/usr/bin/penstock"), penstock_binary()});
        for (const char* unit : {"penstock.service", "penstock.socket"})
            machine.copy_in(units / unit, std::string("/etc/systemd/system/") + unit);
        machine.run(
            "systemd-sysusers - <<<'u penstock - Penstock'; chmod 755 /usr/bin/penstock\n"
            "install -d /etc/penstock; systemctl daemon-reload");
    }

    /// The access log is where the unit allows it.
    void configure(const Web& web = {}) const {
        machine.write("/etc/penstock/penstock.toml",
                      "[process]\nworkers = 2\n" + web.process +
                          "[access_log]\ntarget = \"/var/log/penstock/access.log\"\n"
                          "[[listener]]\nname = \"web\"\nbind = " +
                          web.bind + "\nupstream = \"web\"\n" + web.listener +
                          "[[upstream]]\nname = \"web\"\nbackend = [\"" +
                          (web.backend.empty() ? echo.text() : web.backend) + "\"]\n");
    }

    void start(const Web& web = {}) const {
        configure(web);
        const auto result = machine.attempt("systemctl start penstock.service");
        ASSERT_EQ(result.status, 0) << result.output << journal();
    }

    [[nodiscard]] std::string journal() const {
        return machine.run("journalctl --sync; journalctl --no-pager | tail -50");
    }
    [[nodiscard]] std::string status_field(const std::string& field) const {
        const auto pid = machine.main_pid("penstock.service");
        auto text = machine.run("sed -n 's/^" + field + ":\\s*//p' /proc/" + std::to_string(pid) +
                                "/status");
        while (text.ends_with('\n')) text.pop_back();
        return text;
    }
    [[nodiscard]] bool has_lines(const std::string& file, const std::string& word) const {
        return wait_for(
            [&] { return machine.attempt("grep -q " + word + " " + file).status == 0; });
    }

    SystemdMachine machine;
    SystemdMachine::Network network = machine.enter_network();
    EchoServer echo;
};

TEST(SystemdUnit, H1_serves_a_port_of_root_without_being_root) {
    const Installed here;
    here.start({.bind = "[\"127.0.0.1:80\", \"[::1]:80\"]"});
    EXPECT_TRUE(echo_once(port_80));
    EXPECT_TRUE(echo_once(Address::parse("[::1]:80")));
    EXPECT_EQ(here.status_field("CapEff"), "0000000000000400") << "CAP_NET_BIND_SERVICE";
    EXPECT_EQ(here.status_field("CapBnd"), "0000000000000400");
    EXPECT_EQ(here.status_field("NoNewPrivs"), "1");
    EXPECT_EQ(here.status_field("Seccomp"), "2");
    EXPECT_NE(here.status_field("Uid").substr(0, 2), "0\t");
    EXPECT_TRUE(here.has_lines("/var/log/penstock/access.log", "completed"));
    EXPECT_EQ(here.machine.run("stat -c %a /var/log/penstock/access.log"), "640\n");
    EXPECT_EQ(here.machine.property("penstock.service", "LimitNOFILE"), "1048576");
    // A process from before an upgrade that is killed for want of memory takes nobody with it.
    EXPECT_EQ(here.machine.property("penstock.service", "OOMPolicy"), "continue");
    // Itself and three from before upgrades, with as many workers as there may be.
    EXPECT_GE(std::stoi(here.machine.property("penstock.service", "TasksMax")), 4 * (1024 + 64));
}

TEST(SystemdUnit, tells_a_true_start_time_although_most_of_proc_is_hidden) {
    const Installed here;
    here.start();
    const AdminClient admin("unix:" + here.machine.path("/run/penstock/admin.sock").string());
    const MetricsPage page(admin.get("/metrics").body);
    const auto now = static_cast<double>(::time(nullptr));
    EXPECT_NEAR(page.value("process_start_time_seconds"), now, 600);
}

TEST(SystemdUnit, tells_of_a_clamped_backlog_although_most_of_proc_is_hidden) {
    const Installed here;
    here.machine.run("sysctl -w net.core.somaxconn=1000");
    here.start({.listener = "backlog = 2000\n"});
    EXPECT_TRUE(here.journal().contains("backlog 2000 is clamped to 1000")) << here.journal();
}

TEST(SystemdUnit, a_reload_is_applied_or_refused_with_its_reason) {
    const Installed here;
    const EchoServer other;
    here.start();
    auto client = established(port_80);
    ASSERT_TRUE(client);
    // A new port below 1024, too: the capability is kept.
    here.configure({.bind = "[\"127.0.0.1:80\", \"127.0.0.1:81\"]", .backend = other.text()});
    here.machine.run("systemctl reload penstock.service");
    const auto before = other.accepted();
    EXPECT_TRUE(echo_once(Address::parse("127.0.0.1:81")));
    EXPECT_EQ(other.accepted(), before + 1);
    EXPECT_TRUE(ping(*client));
    here.configure({.backend = other.text(), .listener = "no_such_key = 1\n"});
    EXPECT_NE(here.machine.attempt("systemctl reload penstock.service").status, 0);
    EXPECT_NE(here.journal().find("unknown key 'no_such_key'"), std::string::npos);
    EXPECT_TRUE(ping(*client));
    EXPECT_EQ(here.machine.property("penstock.service", "ActiveState"), "active");
    // A start reads it first, and says the same.
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    EXPECT_NE(here.machine.attempt("systemctl restart penstock.service").status, 0);
}

TEST(SystemdUnit, an_upgrade_loses_nothing_and_systemd_follows_it) {
    const Installed here;
    Traffic traffic({.per_second = full_rate() / 10, .long_lived = 20});
    here.start({.backend = traffic.backends().front()});
    traffic.start({port_80});
    for (const char* how :
         {"penstock upgrade", "systemctl kill --kill-whom=main --signal=USR2 penstock.service"}) {
        ASSERT_TRUE(traffic.wait_for_more(50));
        const auto old = here.machine.main_pid("penstock.service");
        here.machine.run(how);
        ASSERT_TRUE(wait_for([&] { return here.machine.main_pid("penstock.service") != old; }))
            << how << '\n'
            << here.journal();
        EXPECT_EQ(here.machine.property("penstock.service", "ActiveState"), "active");
        EXPECT_EQ(here.status_field("CapEff"), "0000000000000400");
        here.machine.run("systemctl reload penstock.service");
    }
    ASSERT_TRUE(traffic.wait_for_more(50));
    traffic.finish();
    EXPECT_TRUE(traffic.problems().empty()) << traffic.problems().front();
    const auto log = here.journal();
    EXPECT_EQ(log.find("reception only permitted"), std::string::npos)
        << "a notification that systemd does not listen to\n"
        << log;
    here.machine.run("systemctl stop penstock.service");
    EXPECT_EQ(here.machine.property("penstock.service", "Result"), "success") << here.journal();
    EXPECT_NE(here.machine.attempt("pgrep -x penstock").status, 0) << "somebody was left";
}

TEST(SystemdUnit, a_stop_drains_the_processes_from_before_an_upgrade_too) {
    const Installed here;
    here.start();
    auto old_client = established(port_80);
    ASSERT_TRUE(old_client);
    here.machine.run("penstock upgrade");
    auto new_client = established(port_80);
    ASSERT_TRUE(new_client);
    here.machine.run("systemctl stop --no-block penstock.service");
    ASSERT_TRUE(wait_for([&] { return !Socket::connect(port_80); }));
    for (auto* client : {&*old_client, &*new_client}) {
        EXPECT_TRUE(ping(*client)) << "it has the time of process.drain";
        client->finish();
        EXPECT_EQ(client->wait_end(), End::fin);
    }
    EXPECT_TRUE(wait_for([&] {
        return here.machine.property("penstock.service", "ActiveState") == "inactive";
    })) << here.journal();
    EXPECT_EQ(here.machine.property("penstock.service", "Result"), "success");
}

// systemd kills a main process that is not its own child at once if the service has no other
// process: one that came by an upgrade has to have become its child, without a sandbox, too.
TEST(SystemdUnit, a_stop_drains_a_process_without_sandbox_once_those_from_before_are_gone) {
    const Installed here;
    here.start({.process = "sandbox = \"off\"\n"});
    for (int upgrade = 0; upgrade < 2; ++upgrade) {
        here.machine.run("penstock upgrade");
        ASSERT_TRUE(wait_for([&] { return here.machine.run("pgrep -xc penstock") == "1\n"; }))
            << here.machine.run("ps -ef") << here.journal();
    }
    auto client = established(port_80);
    ASSERT_TRUE(client);
    here.machine.run("systemctl stop --no-block penstock.service");
    ASSERT_TRUE(wait_for([&] { return !Socket::connect(port_80); }));
    EXPECT_TRUE(ping(*client)) << here.journal();
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    EXPECT_TRUE(wait_for([&] {
        return here.machine.property("penstock.service", "ActiveState") == "inactive";
    })) << here.journal();
    EXPECT_EQ(here.machine.property("penstock.service", "Result"), "success");
}

/// Whose certificate a client gets.
std::string served() {
    TlsClient client;
    return client.open(Address::parse("127.0.0.1:443")) ? client.peer_common_name() : "";
}

Web with_tls(const std::string& key) {
    return {.bind = "\"127.0.0.1:443\"",
            .listener = "tls.certificates = [{ cert = \"web.pem\", key = \"" + key + "\" }]\n"};
}

TEST(SystemdUnit, certificates_are_followed) {
    const Installed here;
    const TempDir directory;
    Pki pki(directory);
    const auto put = [&](const Pair& pair) {
        here.machine.write("/etc/penstock/web.key", pair.key_pem);
        here.machine.run("chown penstock: /etc/penstock/web.key; chmod 600 /etc/penstock/web.key");
        here.machine.write("/etc/penstock/web.pem", pair.cert_pem);
    };
    put(pki.server("first.example"));
    here.start(with_tls("web.key"));
    EXPECT_EQ(served(), "first.example");
    put(pki.server("second.example"));
    EXPECT_TRUE(wait_for([&] { return served() == "second.example"; })) << here.journal();
}

TEST(SystemdUnit, a_key_that_only_root_may_read_is_passed_as_the_readme_says) {
    const auto readme = read_file(units / "README.md");
    std::smatch setting;
    std::smatch path;
    ASSERT_TRUE(std::regex_search(readme, setting, std::regex("`(LoadCredential=.*:(/.*))`")));
    ASSERT_TRUE(std::regex_search(readme, path, std::regex("`key = \"(.*)\"`")));
    const Installed here;
    const TempDir directory;
    Pki pki(directory);
    const std::string key = setting[2];
    const auto put = [&](const Pair& pair) {
        here.machine.write(key, pair.key_pem);
        here.machine.run("chown root: " + key + "; chmod 600 " + key);
        here.machine.write("/etc/penstock/web.pem", pair.cert_pem);
    };
    put(pki.server("first.example"));
    here.machine.write(std::string(dropins) + "key.conf", "[Service]\n" + setting.str(1) + "\n");
    here.machine.run("systemctl daemon-reload");
    here.start(with_tls(path[1]));
    EXPECT_EQ(served(), "first.example");
    // It stays within reach, in the sandbox, of another process too, and of who checks the file.
    here.machine.run("penstock check --strict; systemctl reload penstock.service");
    const auto old = here.machine.main_pid("penstock.service");
    here.machine.run("penstock upgrade");
    ASSERT_TRUE(wait_for([&] { return here.machine.main_pid("penstock.service") != old; }));
    here.machine.run("systemctl reload penstock.service");
    EXPECT_EQ(served(), "first.example") << here.journal();
    put(pki.server("second.example"));
    here.machine.run("systemctl restart penstock.service");
    EXPECT_EQ(served(), "second.example") << here.journal();
}

TEST(SystemdUnit, H7_a_process_that_hangs_or_dies_is_started_again) {
    const Installed here;
    here.machine.write(std::string(dropins) + "impatient.conf", "[Service]\nWatchdogSec=10\n");
    here.machine.run("systemctl daemon-reload");
    here.start();
    for (const char* signal : {"STOP", "KILL"}) {
        const auto old = here.machine.main_pid("penstock.service");
        here.machine.run(std::string("systemctl kill --kill-whom=main --signal=") + signal +
                         " penstock.service");
        EXPECT_TRUE(wait_for(
            [&] {
                const auto now = here.machine.main_pid("penstock.service");
                return now != 0 && now != old && echo_once(port_80);
            },
            60s))
            << signal << '\n'
            << here.journal();
    }
    EXPECT_GE(std::stoi(here.machine.property("penstock.service", "NRestarts")), 2);
}

/// The process that serves came by upgrades, and the first one still has a session. Whatever
/// systemd would wait for, other than the end of a process, takes minutes.
void die_after_upgrades(int upgrades) {
    const Installed here;
    here.machine.write(std::string(dropins) + "patient.conf",
                       "[Service]\nWatchdogSec=10min\nTimeoutStopSec=10min\n");
    here.machine.run("systemctl daemon-reload");
    here.start({.process = "drain = { wait = \"5m\", close_over = \"1s\" }\n"});
    auto client = established(port_80);
    ASSERT_TRUE(client);
    for (int i = 0; i < upgrades; ++i) here.machine.run("penstock upgrade");
    EXPECT_TRUE(ping(*client));
    here.machine.run("systemctl kill --kill-whom=main --signal=KILL penstock.service");
    EXPECT_TRUE(wait_for([&] { return echo_once(port_80).has_value(); })) << here.journal();
    EXPECT_NE(client->wait_end(), End::open) << "nobody waits for it";
    EXPECT_EQ(here.machine.property("penstock.service", "NRestarts"), "1");
    EXPECT_FALSE(here.journal().contains("not our child")) << here.journal();
}

TEST(SystemdUnit, H7_a_process_that_dies_after_an_upgrade_is_started_again_at_once) {
    die_after_upgrades(1);
}

TEST(SystemdUnit, H7_a_process_that_dies_after_two_upgrades_is_started_again_at_once) {
    die_after_upgrades(2);
}

// More often than systemd does by default, which gives up after five within ten seconds.
TEST(SystemdUnit, H7_a_start_that_fails_is_tried_until_it_succeeds) {
    const Installed here;
    here.machine.write(std::string(dropins) + "hasty.conf", "[Service]\nRestartSec=100ms\n");
    here.machine.run("systemctl daemon-reload");
    here.configure({.bind = "\"192.0.2.80:80\""});
    here.machine.run("systemctl start --no-block penstock.service");
    ASSERT_TRUE(wait_for([&] {
        return std::stoi(here.machine.property("penstock.service", "NRestarts")) > 6;
    })) << here.journal();
    here.machine.run("ip address add 192.0.2.80/32 dev lo");
    EXPECT_TRUE(wait_for([] { return echo_once(Address::parse("192.0.2.80:80")).has_value(); }))
        << here.journal();
}

/// The number here of a process of that machine, whose network this thread is in.
pid_t number_here(pid_t inside) {
    const auto network = fs::read_symlink("/proc/thread-self/ns/net");
    for (const auto& entry : fs::directory_iterator("/proc")) {
        std::error_code error;
        if (fs::read_symlink(entry.path() / "ns/net", error) != network || error) continue;
        std::ifstream status(entry.path() / "status");
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("NSpid:") && line.ends_with("\t" + std::to_string(inside)))
                return std::stoi(entry.path().filename().string());
    }
    throw std::runtime_error("no process is number " + std::to_string(inside) + " inside");
}

TEST(SystemdUnit,
     H7_a_process_with_a_stuck_worker_is_started_again_and_its_stack_is_in_the_journal) {
    const Installed here;
    here.start();
    const auto old = here.machine.main_pid("penstock.service");
    DeadlockedWorker worker(number_here(old));
    EXPECT_TRUE(wait_for(
        [&] {
            const auto now = here.machine.main_pid("penstock.service");
            return now != 0 && now != old && echo_once(port_80);
        },
        60s))
        << here.journal();
    const auto journal = here.journal();
    EXPECT_TRUE(journal.contains(" stood at ")) << journal;
    EXPECT_TRUE(journal.contains("status=6/ABRT")) << journal;
}

TEST(SystemdSocket, H1_a_port_of_root_without_any_right) {
    const Installed here;
    here.configure({.bind = "\"systemd:web\""});
    here.machine.copy_in(units / "socket-activated.conf",
                         std::string(dropins) + "socket-activated.conf");
    here.machine.run("systemctl daemon-reload; systemctl enable --now penstock.socket");
    // The first client starts the service, and waits in the queue meanwhile.
    EXPECT_TRUE(echo_once(port_80)) << here.journal();
    EXPECT_EQ(here.status_field("CapEff"), "0000000000000000");
    EXPECT_EQ(here.status_field("CapBnd"), "0000000000000000");
    const auto pid = std::to_string(here.machine.main_pid("penstock.service"));
    EXPECT_NE(here.machine.run("readlink /proc/" + pid + "/ns/user"),
              here.machine.run("readlink /proc/1/ns/user"))
        << "users of its own";
    auto client = established(port_80);
    ASSERT_TRUE(client);
    here.machine.run("penstock upgrade");
    EXPECT_TRUE(ping(*client));
    EXPECT_TRUE(echo_once(port_80));
    client->finish();
    here.machine.run("systemctl restart penstock.service");
    EXPECT_TRUE(echo_once(port_80));
}

TEST(SystemdSocket, H7_a_start_that_fails_is_tried_until_it_succeeds_and_clients_wait) {
    const Installed here;
    here.configure({.bind = "[\"systemd:web\", \"192.0.2.80:8080\"]"});
    here.machine.copy_in(units / "socket-activated.conf",
                         std::string(dropins) + "socket-activated.conf");
    here.machine.write(std::string(dropins) + "hasty.conf", "[Service]\nRestartSec=100ms\n");
    here.machine.run("systemctl daemon-reload; systemctl enable --now penstock.socket");
    auto client = Socket::connect(port_80);
    ASSERT_TRUE(client);
    ASSERT_TRUE(wait_for([&] {
        return std::stoi(here.machine.property("penstock.service", "NRestarts")) > 6;
    })) << here.journal();
    EXPECT_EQ(here.machine.property("penstock.socket", "ActiveState"), "active");
    here.machine.run("ip address add 192.0.2.80/32 dev lo");
    EXPECT_TRUE(ping(*client)) << here.journal();
}

/// The blocks of commands in the README, in their order.
std::vector<std::string> blocks() {
    const auto text = read_file(units / "README.md");
    std::vector<std::string> result;
    static const std::regex block("\n```sh\n([^`]*)```\n");
    for (std::sregex_iterator it(text.begin(), text.end(), block), end; it != end; ++it)
        result.push_back((*it)[1]);
    return result;
}

TEST(SystemdReadme, its_steps_work_word_by_word_one_after_the_other) {
    const SystemdMachine machine;
    const auto network = machine.enter_network();
    const EchoServer echo;
    // A folder of the source, as far as the steps need it.
    machine.run(
        "mkdir -p /tmp/source/build/release /tmp/source/deploy/package; userdel penstock || true");
    run_program(
        {"strip", "-o", machine.path("/tmp/source/build/release/penstock"), penstock_binary()});
    fs::copy(units, machine.path("/tmp/source/deploy/systemd"));
    machine.write(
        "/tmp/source/deploy/package/penstock.toml",
        changed(read_file(fs::path(PENSTOCK_DEPLOY) / "package/penstock.toml"),
                {{"127.0.0.1:8081", echo.text()}, {"type = \"http\"", "type = \"tcp\""}}));
    const auto steps = blocks();
    ASSERT_EQ(steps.size(), 2U);
    machine.run("cd /tmp/source\n" + steps[0]);
    EXPECT_TRUE(echo_once(Address::parse("127.0.0.1:8080")));
    EXPECT_EQ(machine.run("systemctl is-enabled penstock.service"), "enabled\n");
    machine.run("sed -i 's/^bind = .*/bind = \"systemd:web\"/' /etc/penstock/penstock.toml");
    machine.run("cd /tmp/source\n" + steps[1]);
    EXPECT_TRUE(echo_once(port_80));
    EXPECT_EQ(machine.property("penstock.service", "AmbientCapabilities"), "");
}

/// The score of the units on a root of their own; throws where it is above `threshold` tenths.
void expect_score(const std::string& threshold, bool activated) {
    const TempDir root;
    const auto system = root.path() / "etc/systemd/system";
    fs::create_directories(system / "penstock.service.d");
    fs::copy_file(units / "penstock.service", system / "penstock.service");
    if (activated)
        fs::copy_file(units / "socket-activated.conf",
                      system / "penstock.service.d/socket-activated.conf");
    EXPECT_NO_THROW(run_program({"systemd-analyze", "security", "--offline=yes",
                                 "--root=" + root.path().string(), "--no-pager",
                                 "--threshold=" + threshold, "penstock.service"}));
}

TEST(SystemdUnit, exposure_is_at_most_2_0) { expect_score("20", false); }
TEST(SystemdSocket, exposure_is_at_most_1_3) { expect_score("13", true); }

TEST(SystemdUnit, systemd_finds_no_fault_in_the_files) {
    const Installed here;
    here.machine.copy_in(units / "socket-activated.conf",
                         std::string(dropins) + "socket-activated.conf");
    EXPECT_EQ(here.machine.run("systemd-analyze verify --man=no penstock.service penstock.socket"),
              "");
}

}  // namespace
}  // namespace penstock::test
