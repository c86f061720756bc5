#include "app/sandbox/rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "app/sandbox/capabilities.hpp"
#include "app/sandbox/landlock.hpp"
#include "app/sandbox/system_calls.hpp"
#include "config/key_table.hpp"

namespace penstock::app::sandbox {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// A disk of symbolic links and special files alone.
struct FakeDisk {
    std::map<std::string, std::string> links{};
    std::map<std::string, std::vector<std::string>> patterns{};
    std::set<std::string> specials{};
    std::map<std::string, Identity> places{};
    std::optional<std::string> runtime_directory = "/run/penstock";

    [[nodiscard]] Disk disk() const {
        return {.resolve =
                    [this](const std::string& path) {
                        const auto found = links.find(path);
                        return found == links.end() ? path : found->second;
                    },
                .is_special = [this](const std::string& path) { return specials.contains(path); },
                .expand =
                    [this](const std::string& pattern) {
                        const auto found = patterns.find(pattern);
                        return found == patterns.end() ? std::vector<std::string>{} : found->second;
                    },
                .links_on =
                    [this](const std::string& path) {
                        if (!links.contains(path)) return std::vector<std::string>{};
                        return std::vector<std::string>{path.substr(0, path.rfind('/'))};
                    },
                .identify = [this](const std::string& path) -> std::optional<Identity> {
                    const auto found = places.find(path);
                    if (found == places.end()) return std::nullopt;
                    return found->second;
                },
                .runtime_directory = runtime_directory};
    }
};

config::Config with_certificate(const std::string& cert) {
    config::Config config;
    config::Listener listener;
    listener.tls.emplace();
    listener.tls->certificates.push_back({.cert = cert});
    config.listeners.push_back(std::move(listener));
    return config;
}

std::vector<Rule> rules_for(const config::Config& config, const FakeDisk& fake, bool strict) {
    const auto disk = fake.disk();
    return rules_of(needs_of(config, {}, {}, disk), disk, strict);
}

TEST(SandboxRules, logs_are_written_in_their_directory_and_sockets_made_in_theirs) {
    config::Config config;
    config.log.target = "/var/log/penstock/process.log";
    config.access_log.target = "/var/log/penstock/access.log";
    config.admin.listeners.push_back({});
    EXPECT_THAT(rules_for(config, {}, false),
                ElementsAre(Rule{"/dev/null", write_files}, Rule{"/run/penstock", make_sockets},
                            Rule{"/var/log/penstock", write_files}));
}

TEST(SandboxRules, a_directory_that_has_been_replaced_is_another_one) {
    FakeDisk fake;
    const auto disk = fake.disk();
    config::Config config;
    config.log.target = "/var/log/penstock/process.log";
    const auto needs = needs_of(config, {}, {}, disk);
    const Rule rule{"/var/log/penstock", write_files, Identity{1, 2}};
    const auto told = [&] { return beyond(needs, {&rule, 1}, disk, false); };
    EXPECT_TRUE(told().empty()) << "nobody knows what is there";
    fake.places["/var/log/penstock"] = {1, 2};
    EXPECT_TRUE(told().empty());
    fake.places["/var/log/penstock"] = {1, 3};
    EXPECT_THAT(told(), ElementsAre(testing::AllOf(
                            HasSubstr("log.target /var/log/penstock/process.log: the sandbox"),
                            HasSubstr("write to /var/log/penstock, which is another directory"),
                            HasSubstr("restart it (an upgrade will do)"))));
    // What lies above it covers whatever is put there.
    const Rule wide[] = {rule, {"/var/log", write_files, Identity{1, 1}}};
    EXPECT_TRUE(beyond(needs, wide, disk, false).empty());
}

TEST(SandboxRules, the_runtime_directory_is_open_before_anything_is_in_it) {
    const FakeDisk fake;
    const auto disk = fake.disk();
    const auto rules = rules_for({}, fake, false);
    EXPECT_THAT(rules, Contains(Rule{"/run/penstock", make_sockets}));
    config::Config config;
    config.admin.listeners.push_back({});
    EXPECT_TRUE(beyond(needs_of(config, {}, {}, disk), rules, disk, false).empty());
    // The kernel forgets the rules of what does not exist.
    const Rule null{"/dev/null", write_files};
    EXPECT_THAT(beyond(needs_of(config, {}, {}, disk), {&null, 1}, disk, false),
                ElementsAre(testing::AllOf(HasSubstr("admin.listener.bind /run/penstock/"),
                                           HasSubstr("make a socket in /run/penstock,"),
                                           HasSubstr("restart it (an upgrade will do)"))));
}

TEST(SandboxRules, without_a_runtime_directory_no_socket_is_made) {
    config::Config config;
    config.admin.listeners.push_back({});
    FakeDisk fake;
    fake.runtime_directory = std::nullopt;
    EXPECT_THAT(rules_for(config, fake, false), ElementsAre(Rule{"/dev/null", write_files}));
}

TEST(SandboxRules, a_log_that_is_a_device_allows_nothing_beside_it) {
    config::Config config;
    config.log.target = "/dev/stderr";
    FakeDisk fake;
    fake.links["/dev/stderr"] = "/dev/pts/3";
    fake.specials.insert("/dev/stderr");
    fake.runtime_directory = std::nullopt;
    EXPECT_THAT(rules_for(config, fake, false),
                ElementsAre(Rule{"/dev/null", write_files}, Rule{"/dev/pts/3", write_files}));
}

TEST(SandboxRules, reading_is_free_unless_it_is_confined) {
    const auto config = with_certificate("/srv/tls/a.pem");
    EXPECT_THAT(rules_for(config, {}, false), Not(Contains(Rule{"/srv/tls", read})));
    const auto strict = rules_for(config, {}, true);
    EXPECT_THAT(strict, Contains(Rule{"/srv/tls", read}));
    EXPECT_THAT(strict, Contains(Rule{"/etc", read}));
    EXPECT_THAT(strict, Not(Contains(testing::Field(&Rule::path, "/"))));
}

TEST(SandboxRules, what_a_link_leads_to_is_readable_and_its_neighbours_are) {
    FakeDisk fake;
    fake.links["/srv/live/a.pem"] = "/srv/archive/a7.pem";
    const auto rules = rules_for(with_certificate("/srv/live/a.pem"), fake, true);
    EXPECT_THAT(rules, Contains(Rule{"/srv/live", read}));
    EXPECT_THAT(rules, Contains(Rule{"/srv/archive", read}));
}

TEST(SandboxRules, names_are_readable_wherever_something_keeps_them_up_to_date) {
    FakeDisk fake;
    fake.links["/etc/resolv.conf"] = "/opt/resolver/state/resolv.conf";
    fake.links["/etc/hosts"] = "/srv/net/hosts";
    auto rules = rules_for({}, fake, true);
    EXPECT_THAT(rules, Contains(Rule{"/opt/resolver/state", read}));
    EXPECT_THAT(rules, Contains(Rule{"/srv/net", read}));
    EXPECT_THAT(rules_for({}, fake, false), Not(Contains(Rule{"/srv/net", read})));
    // The file alone where its directory holds everything.
    fake.links["/etc/resolv.conf"] = "/run/resolv.conf";
    rules = rules_for({}, fake, true);
    EXPECT_THAT(rules, Contains(Rule{"/run/resolv.conf", read}));
    EXPECT_THAT(rules, Not(Contains(testing::Field(&Rule::path, "/run"))));
}

TEST(SandboxRules, a_pattern_opens_its_directory_and_where_its_matches_lead) {
    FakeDisk fake;
    fake.patterns["/srv/c*/x.pem"] = {"/srv/c1/x.pem"};
    fake.links["/srv/c1/x.pem"] = "/opt/x.pem";
    const auto rules = rules_for(with_certificate("/srv/c*/x.pem"), fake, true);
    EXPECT_THAT(rules, Contains(Rule{"/srv", read}));
    EXPECT_THAT(rules, Contains(Rule{"/opt", read}));
}

TEST(SandboxRules, another_configuration_may_need_what_lies_beneath_and_nothing_beyond) {
    const FakeDisk fake;
    const auto disk = fake.disk();
    const auto rules = rules_for(with_certificate("/srv/tls/a.pem"), fake, true);
    const auto beyond_for = [&](const std::string& cert) {
        return beyond(needs_of(with_certificate(cert), {}, {}, disk), rules, disk, true);
    };
    EXPECT_TRUE(beyond_for("/srv/tls/b.pem").empty());
    EXPECT_TRUE(beyond_for("/srv/tls/new/b.pem").empty());
    EXPECT_THAT(
        beyond_for("/srv/tls2/b.pem"),
        ElementsAre(testing::AllOf(HasSubstr("listener.tls.certificates /srv/tls2/b.pem"),
                                   HasSubstr("read from /srv/tls2,"), HasSubstr("restart"))));
}

TEST(SandboxRules, a_log_elsewhere_is_beyond_even_where_reading_is_free) {
    const FakeDisk fake;
    const auto disk = fake.disk();
    config::Config config;
    config.log.target = "/var/log/penstock.log";
    const auto rules = rules_for(config, fake, false);
    config.access_log.target = "/srv/access.log";
    EXPECT_THAT(beyond(needs_of(config, {}, {}, disk), rules, disk, false),
                ElementsAre(HasSubstr("access_log.target /srv/access.log")));
    // To be read there is another matter.
    config.access_log.target = "/var/log/access.log";
    EXPECT_TRUE(beyond(needs_of(config, {}, {}, disk), rules, disk, false).empty());
}

// Who adds a key with a path has to say here, and in needs_of(), what it is for.
TEST(SandboxRules, every_key_with_a_path_is_known) {
    std::set<std::string> found;
    for (const auto& table : config::all_tables())
        for (const auto& key : table.keys)
            if (key.kind == config::Kind::path || key.kind == config::Kind::paths ||
                key.kind == config::Kind::pattern)
                found.insert(std::string(table.path) + "." + std::string(key.name));
    EXPECT_EQ(found, (std::set<std::string>{"access_log.target",
                                            "admin.listener.tls.cert",
                                            "admin.listener.tls.key",
                                            "admin.listener.token_file",
                                            "listener.allow_file",
                                            "listener.deny_file",
                                            "listener.tls.certificates.cert",
                                            "listener.tls.certificates.key",
                                            "listener.tls.certificates.key_password_file",
                                            "listener.tls.client_ca",
                                            "listener.tls.client_crl",
                                            "listener.tls.session_ticket_key_files",
                                            "log.target",
                                            "upstream.discovery.path",
                                            "upstream.health_check.password_file",
                                            "upstream.tls.ca",
                                            "upstream.tls.client_certificate.cert",
                                            "upstream.tls.client_certificate.key",
                                            "upstream.tls.client_certificate.key_password_file",
                                            "upstream.tls.crl"}));
}

// One path of its own for each of those keys.
TEST(SandboxRules, every_key_with_a_path_is_a_need) {
    config::Config config;
    config.log.target = "/f/log";
    config.access_log.target = "/f/access";
    config::AdminListener door;
    door.bind = {*Endpoint::parse("unix:/f/door.sock")};
    door.token_file = "/f/token";
    door.tls = {.certificate = "/f/door.pem", .key = "/f/door.key"};
    config.admin.listeners.push_back(door);
    config::Listener listener;
    listener.bind.emplace_back(*Endpoint::parse("unix:/f/in.sock"));
    listener.allow_file = "/f/allow";
    listener.deny_file = "/f/deny";
    listener.tls.emplace();
    listener.tls->certificates.push_back({.cert = "/f/a.pem", .key = "/f/a.key"});
    listener.tls->certificates.back().key_password_file = "/f/a.word";
    listener.tls->client_ca = "/f/ca";
    listener.tls->client_crl = "/f/crl";
    listener.tls->session_ticket_key_files = {"/f/ticket1", "/f/ticket2"};
    config.listeners.push_back(std::move(listener));
    config::Upstream upstream;
    upstream.health_check.password_file = "/f/password";
    upstream.discovery.emplace_back().path = "/f/backends";
    upstream.backends.push_back({.name = "b", .address = *Endpoint::parse("unix:/f/back.sock")});
    upstream.tls.emplace();
    upstream.tls->ca = "/f/up.ca";
    upstream.tls->crl = "/f/up.crl";
    upstream.tls->client_certificate = {.cert = "/f/up.pem", .key = "/f/up.key"};
    upstream.tls->client_certificate.key_password_file = "/f/up.word";
    config.upstreams.push_back(std::move(upstream));
    const std::vector<std::string> files{"/f/penstock.toml"};
    const std::vector<std::string> patterns{"/f/more/*.toml"};
    std::map<std::string, Rights> found;
    for (const auto& need : needs_of(config, files, patterns, FakeDisk{}.disk()))
        found.emplace(need.path, need.rights);
    std::map<std::string, Rights> expected{{"/f/log", write_files},
                                           {"/f/access", write_files},
                                           {"/f/door.sock", make_sockets},
                                           {"/f/in.sock", make_sockets},
                                           {"/f/back.sock", connect_to}};
    for (const char* file : {"/f/penstock.toml", "/f/more/*.toml", "/f/token",    "/f/door.pem",
                             "/f/door.key",      "/f/allow",       "/f/deny",     "/f/a.pem",
                             "/f/a.key",         "/f/a.word",      "/f/ca",       "/f/crl",
                             "/f/ticket1",       "/f/ticket2",     "/f/password", "/f/backends",
                             "/f/up.ca",         "/f/up.crl",      "/f/up.pem",   "/f/up.key",
                             "/f/up.word"})
        expected.emplace(file, read);
    EXPECT_EQ(found, expected);
}

TEST(SandboxRules, older_kernels_get_what_they_know) {
    EXPECT_EQ(landlock::handled(1, true), 0x1fffU);
    EXPECT_EQ(landlock::handled(2, true), 0x3fffU);
    EXPECT_EQ(landlock::handled(3, true), 0x7fffU);
    EXPECT_EQ(landlock::handled(7, true), 0xffffU);
    EXPECT_EQ(landlock::handled(7, false), 0xfff3U) << "reading files and directories is free";
    EXPECT_EQ(landlock::access_of(read, true, 7), 0xcU);
    EXPECT_EQ(landlock::access_of(read, false, 7), 0x4U);
    EXPECT_EQ(landlock::access_of(write_files, true, 7), 0x102U);
    EXPECT_EQ(landlock::access_of(make_sockets, true, 7), 0x220U);
}

TEST(SandboxCapabilities, those_that_a_change_may_need_stay_if_they_are_there) {
    namespace caps = capabilities;
    constexpr auto all = ~caps::Set{0};
    EXPECT_EQ(caps::to_keep({.effective = all}), caps::bit(caps::net_bind_service));
    EXPECT_EQ(caps::to_keep({.effective = 0}), 0U);
    EXPECT_EQ(caps::to_keep({.effective = all,
                             .gives_sockets_away = true,
                             .reads_others_files = true,
                             .writes_others_files = true}),
              caps::bit(caps::net_bind_service) | caps::bit(caps::chown) |
                  caps::bit(caps::dac_read_search) | caps::bit(caps::dac_override));
    EXPECT_EQ(caps::names_of(0), "none");
    EXPECT_EQ(caps::names_of(caps::bit(caps::net_bind_service) | caps::bit(caps::chown)),
              "net_bind_service chown");
}

TEST(SandboxSystemCalls, those_of_the_relay_are_free_and_nothing_that_starts_programs_is_there) {
    std::set<std::string> free;
    for (const char* name : free_calls()) free.insert(name);
    EXPECT_EQ(free.size(), free_calls().size()) << "one is there twice";
    for (const char* hot : {"read", "recvfrom", "sendto", "sendmsg", "splice", "epoll_wait",
                            "epoll_ctl", "accept4", "connect", "close", "futex", "write"})
        EXPECT_TRUE(free.contains(hot)) << hot;
    std::set<std::string> all = free;
    for (const auto& call : checked_calls()) all.insert(call.name);
    for (const char* never : {"execve",
                              "execveat",
                              "fork",
                              "vfork",
                              "clone3",
                              "ptrace",
                              "mount",
                              "bpf",
                              "keyctl",
                              "io_uring_setup",
                              "process_vm_readv",
                              "process_vm_writev",
                              "setuid",
                              "setresuid",
                              "chroot",
                              "pivot_root",
                              "unshare",
                              "setns",
                              "init_module",
                              "kexec_load",
                              "userfaultfd",
                              "perf_event_open",
                              "open_by_handle_at",
                              "memfd_create",
                              "seccomp",
                              "capset"})
        EXPECT_FALSE(all.contains(never)) << never;
    for (const auto& call : checked_calls())
        EXPECT_FALSE(free.contains(call.name)) << call.name << " is not checked";
}

}  // namespace
}  // namespace penstock::app::sandbox
