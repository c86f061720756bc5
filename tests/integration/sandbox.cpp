// What the running program denies itself, and that it does its work all the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/integration/change_scenario.hpp"
#include "tests/integration/tls_scenario.hpp"
#include "tests/support/dns_server.hpp"
#include "tests/support/held_thread.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

ConfigText confined(const EchoServer& echo, const std::string& mode, const std::string& more = "") {
    ConfigText config = one_service({echo.text()});
    config.process =
        "workers = 2\nsandbox = \"" + mode + "\"\nupgrade_drain = " + patient_drain + "\n" + more;
    return config;
}

std::string field_of(const fs::path& status, const std::string& name) {
    std::ifstream file(status);
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(name + ":")) {
            const auto value = line.find_first_not_of(" \t", name.size() + 1);
            return value == std::string::npos ? "" : line.substr(value);
        }
    return "no " + name;
}

/// The values of a field in all threads of the process.
std::set<std::string> fields_of(pid_t pid, const std::string& name) {
    std::set<std::string> values;
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task"))
        values.insert(field_of(task.path() / "status", name));
    return values;
}

std::vector<pid_t> children_of(pid_t pid) {
    const auto text = std::to_string(pid);
    std::ifstream file("/proc/" + text + "/task/" + text + "/children");
    std::vector<pid_t> children;
    for (pid_t child = 0; file >> child;) children.push_back(child);
    return children;
}

using Values = std::set<std::string>;

TEST(Sandbox, H3_confines_every_thread) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto"));
    ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_GE(proxy.threads(), 4U);
    EXPECT_EQ(fields_of(proxy.pid(), "Seccomp"), Values{"2"});
    EXPECT_EQ(fields_of(proxy.pid(), "NoNewPrivs"), Values{"1"});
    // It runs as root: CAP_NET_BIND_SERVICE alone, for listeners that come with a reload.
    const bool is_root = ::geteuid() == 0;  // else it has none, and cannot drop what it never gets
    for (const char* set : {"CapEff", "CapPrm"})
        EXPECT_EQ(fields_of(proxy.pid(), set),
                  Values{is_root ? "0000000000000400" : "0000000000000000"})
            << set;
    EXPECT_EQ(fields_of(proxy.pid(), "CapBnd"),
              is_root ? Values{"0000000000000400"} : fields_of(::getpid(), "CapBnd"));
    for (const char* set : {"CapInh", "CapAmb"})
        EXPECT_EQ(fields_of(proxy.pid(), set), Values{"0000000000000000"}) << set;
    EXPECT_TRUE(proxy.says("sandbox: seccomp, landlock (ABI "));
    EXPECT_TRUE(proxy.says(is_root ? "capabilities: net_bind_service" : "capabilities: none"));
    const auto sandbox = status_of(proxy).at("sandbox");
    EXPECT_EQ(sandbox.at("mode"), "auto");
    EXPECT_EQ(sandbox.at("missing").as_array().size(), 0U) << text(sandbox);
    const MetricsPage page(proxy.admin().get("/metrics").body);
    for (const char* part : {"seccomp", "landlock", "no_new_privs", "capabilities"})
        EXPECT_EQ(page.value("penstock_sandbox{part=\"" + std::string(part) + "\"}"), 1) << part;
}

TEST(Sandbox, H5_no_core_is_written) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto"));
    std::ifstream limits("/proc/" + std::to_string(proxy.pid()) + "/limits");
    bool no_core = false;
    for (std::string line; std::getline(limits, line);)
        no_core |= line.starts_with("Max core file size        0                    0 ");
    EXPECT_TRUE(no_core);
}

// Of a program that it starts: its successor gets what it is given, and nothing by accident.
TEST(Sandbox, H6_every_descriptor_but_the_standard_ones_is_closed_on_exec) {
    const TempDir files;
    Pki pki(files);
    EchoServer echo;
    ConfigText config = confined(echo, "auto");
    config.log = "level = \"info\"\ntarget = \"" + files.path("process.log") + "\"";
    config.services.push_back({.name = "tls",
                               .backends = {echo.text()},
                               .listener = terminates({pki.server("a.example")})});
    ProxyProcess proxy(config);
    auto plain = established(proxy.address());
    ASSERT_TRUE(plain && ping(*plain));
    TlsClient secure;
    ASSERT_TRUE(secure.open(proxy.address("tls")) && secure.ping());
    const fs::path process = "/proc/" + std::to_string(proxy.pid());
    std::size_t standard = 0;
    for (const auto& entry : fs::directory_iterator(process / "fd")) {
        const auto number = entry.path().filename();
        const int fd = std::stoi(number.string());
        if (fd <= STDERR_FILENO) {
            ++standard;
            continue;
        }
        // What whoever runs the tests has left open comes through all of their programs.
        if (::fcntl(fd, F_GETFD) == 0) continue;
        const auto flags = std::stoul(field_of(process / "fdinfo" / number, "flags"), nullptr, 8);
        EXPECT_NE(flags & O_CLOEXEC, 0U) << fs::read_symlink(entry.path());
    }
    EXPECT_EQ(standard, 3U);
}

TEST(Sandbox, H3_off_confines_nothing) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "off"));
    ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(fields_of(proxy.pid(), "Seccomp"), Values{"0"});
    EXPECT_TRUE(proxy.says("sandbox: off (process.sandbox)"));
    const auto launchers = children_of(proxy.pid());
    ASSERT_EQ(launchers.size(), 1U);
    const fs::path launcher = "/proc/" + std::to_string(launchers.front()) + "/status";
    for (const char* field : {"NoNewPrivs", "CapEff", "CapBnd"})
        EXPECT_EQ(field_of(launcher, field), field_of("/proc/self/status", field)) << field;
    const MetricsPage page(proxy.admin().get("/metrics").body);
    EXPECT_EQ(page.sum("penstock_sandbox"), 0);
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Sandbox, H2_another_user_has_no_capability_and_can_be_upgraded) {
    const passwd* nobody = ::getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    const TempDir directory;
    ASSERT_EQ(::chown(directory.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "strict", "user = \"nobody\""),
                       {.directory = directory.path()});
    for (const char* set : {"CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"})
        EXPECT_EQ(fields_of(proxy.pid(), set), Values{"0000000000000000"}) << set;
    const auto launchers = children_of(proxy.pid());
    ASSERT_EQ(launchers.size(), 1U);
    const fs::path launcher = "/proc/" + std::to_string(launchers.front()) + "/status";
    EXPECT_EQ(field_of(launcher, "NoNewPrivs"), "1");
    EXPECT_EQ(field_of(launcher, "Uid"),
              field_of("/proc/" + std::to_string(proxy.pid()) + "/status", "Uid"));
    EXPECT_TRUE(field_of(launcher, "Uid").starts_with(std::to_string(nobody->pw_uid)));
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(echo_once(proxy.address()));
}

// As the scenarios of hardening have it, but that root is warned and not refused.
TEST(FaultsH, H1_root_without_a_user_to_switch_to_is_warned_and_has_one_capability) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto"));
    const bool is_root = ::geteuid() == 0;
    ASSERT_TRUE(proxy.says(" workers, at most "));
    EXPECT_EQ(proxy.errors().contains("warn  running as root, "), is_root) << proxy.errors();
    EXPECT_EQ(fields_of(proxy.pid(), "CapEff"),
              Values{is_root ? "0000000000000400" : "0000000000000000"});
}

TEST(FaultsH, H1_another_user_is_not_warned_and_has_none) {
    EchoServer echo;
    const TempDir directory;
    const passwd* nobody = ::getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    ASSERT_EQ(::chown(directory.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    ProxyProcess proxy(confined(echo, "auto", "user = \"nobody\""),
                       {.directory = directory.path()});
    ASSERT_TRUE(proxy.says(" workers, at most "));
    EXPECT_FALSE(proxy.errors().contains("running as root")) << proxy.errors();
    EXPECT_EQ(fields_of(proxy.pid(), "CapEff"), Values{"0000000000000000"});
    EXPECT_TRUE(field_of("/proc/" + std::to_string(proxy.pid()) + "/status", "Uid")
                    .starts_with(std::to_string(nobody->pw_uid)));
}

TEST(Sandbox, H3_twenty_upgrades_in_a_row) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "strict"));
    const Address address = proxy.address();
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(proxy.upgrade()) << i;
        ASSERT_TRUE(echo_once(address)) << i;
    }
    // Its own filters, not more with every upgrade.
    EXPECT_EQ(fields_of(proxy.pid(), "Seccomp_filters"), Values{"2"});
    EXPECT_EQ(status_of(proxy).at("sandbox").at("mode"), "strict");
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
}

// What a successor gets at most; as root, all that a start may need, whatever its configuration.
TEST(Sandbox, H2_its_launcher_has_no_capability_that_no_start_needs) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto"));
    const auto look = [&] {
        const auto launchers = children_of(proxy.pid());
        ASSERT_EQ(launchers.size(), 1U);
        const fs::path launcher = "/proc/" + std::to_string(launchers.front()) + "/status";
        EXPECT_EQ(field_of(launcher, "NoNewPrivs"), "1");
        const bool is_root = ::geteuid() == 0;
        // chown, dac_override, dac_read_search, fowner, setgid, setuid, setpcap, net_bind_service
        for (const char* set : {"CapEff", "CapPrm", "CapBnd"})
            EXPECT_EQ(field_of(launcher, set),
                      is_root ? "00000000000005cf" : field_of("/proc/self/status", set))
                << set;
    };
    look();
    ASSERT_TRUE(proxy.upgrade());
    look();
}

TEST(Sandbox, H3_its_launcher_ends_with_it) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto"));
    const auto launchers = children_of(proxy.pid());
    ASSERT_EQ(launchers.size(), 1U);
    const fs::path directory = "/proc/" + std::to_string(launchers.front());
    EXPECT_EQ(field_of(directory / "status", "Name"), "penstock-launch");
    // Its standard streams, and the channel to its process.
    const auto files = fs::directory_iterator(directory / "fd");
    EXPECT_EQ(std::distance(fs::begin(files), fs::end(files)), 4);
    proxy.kill();
    const auto ended = [&] {
        const auto state = field_of(directory / "status", "State");
        return !state.starts_with("S") && !state.starts_with("R");
    };
    EXPECT_TRUE(wait_for(ended));
}

TEST(Sandbox, H3_logs_are_rotated) {
    EchoServer echo;
    const TempDir logs;
    ConfigText config = confined(echo, "strict");
    config.log = "level = \"info\"\ntarget = \"" + logs.path("process.log") + "\"";
    ProxyProcess proxy(config, {.check_counters = false});  // lines are in two files
    ASSERT_TRUE(echo_once(proxy.address()));
    fs::rename(logs.path("process.log"), logs.path("process.log.1"));
    fs::rename(proxy.directory() / "access.log", proxy.directory() / "access.log.1");
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(wait_for([&] { return fs::exists(logs.path("process.log")); }));
    EXPECT_TRUE(wait_for([&] { return fs::exists(proxy.directory() / "access.log"); }));
}

TEST(Sandbox, H3_a_directory_of_logs_that_was_replaced_needs_an_upgrade) {
    EchoServer echo;
    const TempDir directory;
    const std::string logs = directory.path("logs");
    fs::create_directory(logs);
    ConfigText config = confined(echo, "auto");
    config.log = "level = \"info\"\ntarget = \"" + logs + "/process.log\"";
    ProxyProcess proxy(config);
    fs::rename(logs, logs + ".old");
    fs::create_directory(logs);
    proxy.signal(SIGUSR1);
    const std::string reason = "log.target " + logs +
                               "/process.log: the sandbox of this process does not let it write "
                               "to " +
                               logs + ", which is another directory";
    const auto said = [&](const std::string& text) {
        return wait_for([&] { return read_file(logs + ".old/process.log").contains(text); });
    };
    EXPECT_TRUE(said("cannot reopen the log: "));
    EXPECT_TRUE(said(reason)) << read_file(logs + ".old/process.log");
    EXPECT_FALSE(proxy.reload());
    const Answer plan = plan_of(proxy);
    EXPECT_TRUE(errors_in(plan).contains(reason)) << plan.text;
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(wait_for([&] { return fs::exists(logs + "/process.log"); }));
}

// What root makes before it switches belongs to whoever has to open it again.
TEST(Sandbox, H3_logs_that_root_made_are_rotated_and_opened_by_the_next_process) {
    const passwd* nobody = ::getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    const TempDir directory;
    ASSERT_EQ(::chown(directory.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    EchoServer echo;
    ConfigText config = confined(echo, "auto", "user = \"nobody\"");
    config.log = "level = \"info\"\ntarget = \"" + directory.path("process.log") + "\"";
    ProxyProcess proxy(config, {.directory = directory.path(), .check_counters = false});
    for (const char* name : {"process.log", "access.log"}) {
        struct stat status{};
        ASSERT_EQ(::stat(directory.path(name).c_str(), &status), 0) << name;
        EXPECT_EQ(status.st_uid, nobody->pw_uid) << name;
        EXPECT_EQ(status.st_gid, nobody->pw_gid) << name;
    }
    ASSERT_TRUE(echo_once(proxy.address()));
    ASSERT_TRUE(proxy.upgrade()) << "it opens both";
    fs::rename(directory.path("access.log"), directory.path("access.log.1"));
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(wait_for([&] { return fs::exists(directory.path("access.log")); }));
}

TEST(Sandbox, H3_a_log_that_the_user_may_not_write_is_warned_of) {
    const passwd* nobody = ::getpwnam("nobody");
    ASSERT_NE(nobody, nullptr);
    const TempDir directory;
    ASSERT_EQ(::chown(directory.path().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
    const auto log = directory.write("access.log", "");
    ASSERT_EQ(::chmod(log.c_str(), 0644), 0);
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "auto", "user = \"nobody\""),
                       {.directory = directory.path()});
    EXPECT_TRUE(proxy.says("access_log.target " + log)) << proxy.errors();
    EXPECT_TRUE(proxy.errors().contains("user 'nobody' may not write to this file"));
    struct stat status{};
    ASSERT_EQ(::stat(log.c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, ::geteuid()) << "what was there is left alone";
}

TEST(Sandbox, H3_standard_error_by_its_name_is_a_log_like_any_other) {
    EchoServer echo;
    ConfigText config = confined(echo, "strict");
    config.log = "level = \"info\"\ntarget = \"/dev/stderr\"";  // a pipe to this test
    ProxyProcess proxy(config);
    EXPECT_TRUE(proxy.says("sandbox: seccomp, landlock (ABI "));
    config.log = "level = \"debug\"\ntarget = \"/dev/stderr\"";
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Sandbox, H3_listeners_come_with_a_reload_and_sockets_go_with_it) {
    EchoServer echo;
    ConfigText config = confined(echo, "strict");
    ProxyProcess proxy(config);
    const std::string path = proxy.directory() / "more.sock";
    config.services.push_back({.name = "more", .bind = "unix:" + path, .backends = {echo.text()}});
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(fs::exists(path));
    config.services.pop_back();
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(wait_for([&] { return !fs::exists(path); }));
}

TEST(Sandbox, H3_a_log_in_another_directory_needs_a_restart) {
    EchoServer echo;
    const TempDir other;
    ConfigText config = confined(echo, "auto");
    ProxyProcess proxy(config);
    config.log = "level = \"info\"\ntarget = \"" + other.path("process.log") + "\"";
    EXPECT_FALSE(proxy.change_to(config));
    EXPECT_FALSE(fs::exists(other.path("process.log")));
    EXPECT_TRUE(proxy.says("log.target " + other.path("process.log") + ": the sandbox"));
    EXPECT_TRUE(proxy.says("write to " + other.path().string()));
    EXPECT_TRUE(echo_once(proxy.address())) << "it goes on";
    // What it was started with is forgotten by an upgrade.
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(wait_for([&] { return fs::exists(other.path("process.log")); }));
}

// The door of the tests by its path, and one in the runtime directory.
constexpr const char* door = "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n";
constexpr const char* door_in_runtime =
    "[[admin.listener]]\nbind = \"unix:$RUNTIME/second.sock\"\n";

TEST(Sandbox, H3_the_first_socket_in_the_runtime_directory_may_come_with_a_reload) {
    EchoServer echo;
    const TempDir runtime;
    ConfigText config = confined(echo, "auto");
    config.admin = door;
    ProxyOptions options;
    options.spawn.environment["RUNTIME_DIRECTORY"] = runtime.path().string();
    ProxyProcess proxy(config, options);
    config.admin = std::string(door) + door_in_runtime;
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(fs::exists(runtime.path("second.sock"))) << proxy.errors();
}

TEST(Sandbox, H3_a_runtime_directory_that_has_not_been_made_needs_a_restart) {
    EchoServer echo;
    const TempDir above;
    const std::string runtime = above.path("runtime");
    ConfigText config = confined(echo, "auto");
    config.admin = door;
    ProxyOptions options;
    options.spawn.environment["RUNTIME_DIRECTORY"] = runtime;
    ProxyProcess proxy(config, options);
    config.admin = std::string(door) + door_in_runtime;
    EXPECT_FALSE(proxy.change_to(config));
    EXPECT_TRUE(proxy.says("does not let it make a socket in " + runtime + ",")) << proxy.errors();
    const auto reload =
        run_penstock({"reload", "--admin", "unix:" + (proxy.directory() / "admin.sock").string()});
    EXPECT_EQ(reload.exit_status, 1) << "the file itself is good: " << reload.errors;
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(fs::exists(runtime + "/second.sock")) << proxy.errors();
}

TEST(Sandbox, H2_what_only_a_dropped_capability_could_do_needs_a_restart) {
    const TempDir directory;
    Pki pki(directory);
    const Pair pair = pki.server("a.example");
    ASSERT_EQ(::chown(pair.key_file.c_str(), 1, 1), 0) << "this test has to be run as root";
    ASSERT_EQ(::chmod(pair.key_file.c_str(), 0600), 0);
    EchoServer echo;
    const ConfigText plain = confined(echo, "auto");
    ProxyProcess proxy(plain);
    ConfigText with_group = plain;
    with_group.admin = std::string(door) + "socket_group = \"daemon\"\n";
    EXPECT_FALSE(proxy.change_to(with_group));
    EXPECT_TRUE(proxy.says("admin.listener.socket_group daemon: the sandbox of this process"))
        << proxy.errors();
    ConfigText with_key = plain;
    with_key.services[0].listener = terminates({pair});
    EXPECT_FALSE(proxy.change_to(with_key));
    EXPECT_TRUE(proxy.says(pair.key_file + ": the sandbox of this process does not let it read"))
        << proxy.errors();
    with_key.admin = with_group.admin;
    proxy.rewrite(with_key);
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_TRUE(proxy.says("capabilities: net_bind_service chown dac_read_search"))
        << proxy.errors();
}

TEST(Sandbox, H3_strict_follows_certificates_in_their_directory_and_no_further) {
    const TempDir here;
    const TempDir there;
    Pki pki(here);
    const Pair first = pki.server("a.example");
    const Pair second = pki.server("b.example");
    EchoServer echo;
    ConfigText config = confined(echo, "strict");
    config.services[0].listener = terminates({first});
    ProxyProcess proxy(config);
    // Renewed in place.
    fs::copy_file(second.key_file, first.key_file, fs::copy_options::overwrite_existing);
    fs::copy_file(second.cert_file, first.cert_file, fs::copy_options::overwrite_existing);
    EXPECT_TRUE(wait_for([&] {
        const MetricsPage page(proxy.admin().get("/metrics").body);
        return page.value("penstock_tls_certificate_reloads_total{result=\"success\"}") >= 1;
    }));
    config.services[0].listener = terminates({second});
    ASSERT_TRUE(proxy.change_to(config)) << "another file of the same directory";
    Pair far = first;
    far.cert_file = there.path("a.pem");
    far.key_file = there.path("a.key");
    fs::copy_file(first.cert_file, far.cert_file);
    fs::copy_file(first.key_file, far.key_file);
    config.services[0].listener = terminates({far});
    proxy.rewrite(config);
    const Answer plan = plan_of(proxy);
    EXPECT_TRUE(errors_in(plan).contains("listener.tls.certificates " + far.cert_file))
        << plan.text;
    EXPECT_FALSE(proxy.reload());
    EXPECT_TRUE(proxy.says("does not let it read from " + there.path().string()));
    ASSERT_TRUE(proxy.upgrade()) << "the new process is confined by what it reads now";
}

TEST(Sandbox, H3_strict_follows_a_file_of_backends_and_a_name) {
    const TempDir files;
    EchoServer echo;
    files.write("list", "");
    DnsServer names(DnsServer::always({DnsServer::ipv4("127.0.0.1")}));
    ConfigText config = confined(echo, "strict");
    config.services = {
        {.name = "in",
         .upstream = "discovery = [{ type = \"file\", path = \"" + files.path("list") + "\" }]"},
        {.name = "named",
         .upstream = "discovery = [{ type = \"dns\", name = \"backends.test\", port = " +
                     std::to_string(Address::parse(echo.text()).port()) + ", resolver = [\"" +
                     names.text() + "\"] }]"}};
    ProxyProcess proxy(config);
    EXPECT_TRUE(echo_once(proxy.address("named"))) << proxy.errors();
    EXPECT_FALSE(echo_once(proxy.address()));
    files.write("next", echo.text() + "\n");
    fs::rename(files.path("next"), files.path("list"));
    EXPECT_TRUE(wait_for([&] { return echo_once(proxy.address()).has_value(); })) << proxy.errors();
}

/// A root with the program, its libraries, and nothing else.
void fill_root(const TempDir& root) {
    fs::copy_file(penstock_binary(), root.path("penstock"));
    std::istringstream libraries(run_program({"ldd", penstock_binary()}));
    for (std::string word; libraries >> word;) {
        if (!word.starts_with('/')) continue;
        const fs::path target = root.path().string() + word;
        fs::create_directories(target.parent_path());
        fs::copy_file(word, target, fs::copy_options::skip_existing);
    }
}

std::string without(std::string text, const std::string& words) {
    for (auto at = text.find(words); at != std::string::npos; at = text.find(words))
        text.erase(at, words.size());
    return text;
}

Address listening_at(const ChildProcess& child, const std::string& listener) {
    const std::string output = child.output();
    const std::string key = "listening " + listener + " ";
    const auto at = output.find(key) + key.size();
    return Address::parse(output.substr(at, output.find('\n', at) - at));
}

// No name of a system to ask, no authorities, no OpenSSL configuration, no /dev, no /proc.
TEST(Sandbox, H7_a_stuck_worker_of_a_strict_process_tells_where_it_stands) {
    EchoServer echo;
    ProxyProcess proxy(confined(echo, "strict"));
    DeadlockedWorker worker(proxy.pid());
    EXPECT_TRUE(proxy.says(" stood at ")) << proxy.errors();
    worker.release();
    EXPECT_TRUE(proxy.says("answers again"));
}

TEST(Sandbox, H4_runs_in_a_root_with_nothing_but_itself) {
    const TempDir root;
    Pki pki(root);
    const Pair first = pki.server("a.example");
    const Pair second = pki.server("b.example");
    EchoServer echo;
    DnsServer names(DnsServer::always({DnsServer::ipv4("127.0.0.1")}));
    fill_root(root);
    ConfigText config = confined(echo, "auto");
    config.services.push_back({.name = "tls", .listener = terminates({first})});
    config.more = "[[upstream.discovery]]\ntype = \"dns\"\nname = \"backends.test\"\nport = " +
                  std::to_string(Address::parse(echo.text()).port()) + "\nresolver = [\"" +
                  names.text() + "\"]\n";
    root.write("penstock.toml", without(without(config.toml(), "@DIR@"), root.path().string()));
    ChildProcess child(
        {"chroot", root.path().string(), "/penstock", "run", "-c", "/penstock.toml"});
    ASSERT_TRUE(wait_for([&] { return child.output().contains("ready\n"); })) << child.errors();
    EXPECT_TRUE(echo_once(listening_at(child, "in")));
    const auto served = [&](const std::string& name) {
        TlsClient client({.server_name = name, .ca_file = pki.ca_file()});
        return client.open(listening_at(child, "tls")) && client.ping();
    };
    EXPECT_TRUE(served("a.example")) << child.errors();
    EXPECT_GT(names.queries(), 0U);
    // Renewed in place.
    fs::rename(second.key_file, first.key_file);
    fs::rename(second.cert_file, first.cert_file);
    EXPECT_TRUE(wait_for([&] { return served("b.example"); })) << child.errors();
    EXPECT_EQ(fields_of(child.pid(), "Seccomp"), Values{"2"});
    EXPECT_EQ(fields_of(child.pid(), "NoNewPrivs"), Values{"1"});
    // Without /proc its threads cannot be listed, and it says so.
    EXPECT_TRUE(wait_for([&] { return child.errors().contains("sandbox: no landlock: "); }))
        << child.errors();
    child.signal(SIGHUP);
    EXPECT_TRUE(wait_for([&] { return child.errors().contains("nothing has changed"); }))
        << child.errors();
    child.signal(SIGTERM);
    const auto status = child.wait_exit();
    ASSERT_TRUE(status) << child.errors();
    EXPECT_EQ(*status, 0) << child.errors();
}

}  // namespace
}  // namespace penstock::test
