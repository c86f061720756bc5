#include "health/discovery/discovery.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>

#include <boost/asio/post.hpp>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "tests/support/dns_server.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/shortage.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/watched_loop.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using test::DnsServer;
using Lie = DnsServer::Lie;
using Reply = DnsServer::Reply;

/// A Discovery on an io_context that the test drives.
class Finder {
public:
    explicit Finder(config::Upstream its_settings, std::vector<Endpoint> own = {})
        : settings(std::move(its_settings)) {
        settings.name = "up";
        discovery = std::make_unique<Discovery>(context, reader, settings,
                                                Discovery::Options{std::move(own), 1}, log);
        discovery->start([this](const std::vector<Discovered>&) { ++changes; },
                         [this](const SourceStatus& status) {
                             turns.push_back(status.last_error.empty() ? "well" : "fails");
                         });
    }
    ~Finder() {
        discovery->stop();
        reader.join();
        context.run();  // stop() leaves no work
    }

    /// Runs the loop until `holds`.
    template <typename Condition>
    bool until(Condition holds, test::milliseconds limit = test::patience) {
        return test::run_until(context, holds, limit);
    }
    [[nodiscard]] std::string names() const {
        std::string text;
        for (const auto& one : discovery->list()) text += (text.empty() ? "" : " ") + one.name;
        return text;
    }
    bool find(const std::string& expected) {
        return until([&] { return names() == expected; });
    }
    [[nodiscard]] SourceStatus source(std::size_t i = 0) const {
        return discovery->sources().at(i);
    }

    config::Upstream settings;
    test::Recorder log;
    boost::asio::io_context context{1};
    boost::asio::thread_pool reader{1};
    std::unique_ptr<Discovery> discovery;
    int changes = 0;
    std::vector<std::string> turns;
};

config::Upstream looking_up(const DnsServer& server,
                            config::DiscoveryType type = config::DiscoveryType::dns) {
    config::Upstream upstream;
    upstream.discovery.push_back({.type = type,
                                  .name = "web.test",
                                  .port = type == config::DiscoveryType::dns ? 80U : 0U,
                                  .resolver = {*Endpoint::parse(server.text())},
                                  .min_ttl = 100ms,
                                  .max_ttl = 200ms,
                                  .removal_delay = 0s,
                                  .retry = {20ms, 40ms}});
    return upstream;
}

const auto first = DnsServer::always({DnsServer::ipv4("10.0.0.1"), DnsServer::ipv6("2001:db8::1")});

TEST(Discovery, D2_follows_addresses_of_both_families) {
    DnsServer server(first);
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    EXPECT_TRUE(finder.discovery->settled());
    EXPECT_EQ(finder.discovery->list()[0].origin, Origin::name);
    server.set(DnsServer::always({DnsServer::ipv4("10.0.0.2"), DnsServer::ipv4("10.0.0.1")}));
    EXPECT_TRUE(finder.find("10.0.0.1:80 10.0.0.2:80"));
    server.set(DnsServer::always({DnsServer::ipv4("10.0.0.2")}));
    EXPECT_TRUE(finder.find("10.0.0.2:80"));
    server.set(DnsServer::always({}));  // on_empty = keep
    const auto asked = server.queries();
    ASSERT_TRUE(finder.until([&] { return server.queries() > asked + 4; }));
    EXPECT_EQ(finder.names(), "10.0.0.2:80");
}

TEST(Discovery, D2_follows_aliases_and_survives_their_loops) {
    DnsServer server([](const std::string& name, std::uint16_t type, bool) {
        Reply reply{.answers = {DnsServer::alias("b.test"), DnsServer::alias("c.test", "b.test")}};
        auto address = DnsServer::ipv4("10.0.0.3");
        address.owner = "c.test";
        if (type == DnsServer::a && name == "web.test") reply.answers.push_back(address);
        return reply;
    });
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.find("10.0.0.3:80"));
    server.set([](const std::string&, std::uint16_t, bool) {
        return Reply{.answers = {DnsServer::alias("web.test")}};
    });
    const auto asked = server.queries();
    ASSERT_TRUE(finder.until([&] { return server.queries() > asked + 4; }));
    EXPECT_EQ(finder.names(), "10.0.0.3:80");
}

TEST(Discovery, D1_a_failure_keeps_the_last_good_answer) {
    DnsServer server(first);
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    for (const unsigned rcode : {2U, 5U, 3U}) {  // SERVFAIL, REFUSED, NXDOMAIN
        server.set(
            [rcode](const std::string&, std::uint16_t, bool) { return Reply{.rcode = rcode}; });
        const auto asked = server.queries();
        ASSERT_TRUE(finder.until([&] { return server.queries() > asked + 8; }));
        EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80");
    }
    EXPECT_GT(finder.source().failures, 0U);
    server.set(DnsServer::always({DnsServer::ipv4("10.0.0.9")}));
    EXPECT_TRUE(finder.find("10.0.0.9:80"));
}

TEST(Discovery, only_the_first_failure_and_the_first_answer_after_it_are_turns) {
    DnsServer server([](const std::string&, std::uint16_t, bool) { return Reply{.rcode = 2}; });
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.until([&] { return finder.source().failures > 3; }));
    server.set(first);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    const auto answers = finder.source().answers;
    ASSERT_TRUE(finder.until([&] { return finder.source().answers > answers + 2; }));
    EXPECT_EQ(finder.turns, (std::vector<std::string>{"fails", "well"}));
    server.set(DnsServer::always({}));
    EXPECT_TRUE(finder.until([&] { return finder.turns.size() == 3; })) << "no address";
}

TEST(Discovery, D1_D8_a_server_that_never_answers_fails_in_time_and_blocks_nothing) {
    DnsServer server([](const std::string&, std::uint16_t, bool) { return Reply{.silent = true}; });
    Finder finder(looking_up(server));
    int ticks = 0;
    EXPECT_TRUE(finder.until([&] {
        ++ticks;
        return finder.source().failures > 0;
    }));
    EXPECT_GT(ticks, 50);  // the loop went on all the time
    EXPECT_TRUE(finder.discovery->settled());
    EXPECT_EQ(finder.names(), "");
    server.set(first);
    EXPECT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
}

TEST(Discovery, D3_lies_are_not_believed) {
    for (const Lie lie : {Lie::wrong_id, Lie::wrong_question, Lie::other_port}) {
        DnsServer server(first);
        Finder finder(looking_up(server));
        ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
        server.set([lie](const std::string&, std::uint16_t type, bool) {
            Reply reply{.lie = lie};
            if (type == DnsServer::a) reply.answers = {DnsServer::ipv4("66.6.6.6")};
            return reply;
        });
        const auto asked = server.queries();
        ASSERT_TRUE(finder.until([&] { return server.queries() > asked + 3; }));
        EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80");
    }
}

TEST(Discovery, D3_records_of_other_names_are_ignored) {
    DnsServer server([](const std::string&, std::uint16_t type, bool) {
        Reply reply;
        if (type != DnsServer::a) return reply;
        auto stranger = DnsServer::ipv4("66.6.6.6");
        stranger.owner = "bank.test";
        reply.answers = {DnsServer::ipv4("10.0.0.1"), stranger};
        return reply;
    });
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.until([&] { return !finder.names().empty(); }));
    EXPECT_EQ(finder.names(), "10.0.0.1:80");
}

TEST(Discovery, D4_malformed_answers_change_nothing) {
    DnsServer server(first);
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    const std::string head("\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00", 10);
    const auto question = DnsServer::wire("web.test") + std::string("\x00\x01\x00\x01", 4);
    const std::string rows[] = {
        head.substr(0, 4),
        head,
        head + question,
        head + question + std::string("\xc0\x1a\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04", 12) +
            "abcd",  // a pointer to itself
        head + question + std::string("\xc0\xff\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04", 12) +
            "abcd",  // forward, beyond the end
        head + question + std::string(1, 70) + std::string(70, 'x'),
        head + question + std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\xff\xff", 12) +
            "abcd",  // RDLENGTH lies
        head + question + std::string("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x02", 12) +
            "ab",
    };
    for (const auto& raw : rows) {
        server.set([raw](const std::string&, std::uint16_t, bool) { return Reply{.raw = raw}; });
        const auto asked = server.queries();
        ASSERT_TRUE(finder.until([&] { return server.queries() > asked + 1; }));
        EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80");
    }
}

TEST(Discovery, D5_a_truncated_answer_is_asked_for_again_over_tcp) {
    DnsServer server([](const std::string&, std::uint16_t type, bool) {
        Reply reply{.truncated = true};
        if (type == DnsServer::a)
            for (int i = 0; i < 200; ++i)
                reply.answers.push_back(DnsServer::ipv4("10.0.1." + std::to_string(i + 1)));
        return reply;
    });
    Finder finder(looking_up(server));
    EXPECT_TRUE(finder.until([&] { return finder.discovery->list().size() == 200; }));
    EXPECT_GT(server.over_tcp(), 0U);
    server.set([](const std::string&, std::uint16_t, bool over_tcp) {
        return Reply{.truncated = true, .silent = over_tcp};  // and then it closes
    });
    const auto failures = finder.source().failures;
    EXPECT_TRUE(finder.until([&] { return finder.source().failures > failures; }));
    EXPECT_EQ(finder.discovery->list().size(), 200U);
}

TEST(Discovery, D6_many_and_senseless_addresses) {
    DnsServer server([](const std::string&, std::uint16_t type, bool) {
        Reply reply{.truncated = true};
        if (type != DnsServer::a) return Reply{};
        for (int i = 0; i < 1000; ++i)
            reply.answers.push_back(DnsServer::ipv4("10.1." + std::to_string(i / 250) + '.' +
                                                    std::to_string(i % 250 + 1)));
        for (const auto* senseless : {"0.0.0.0", "255.255.255.255", "224.0.0.1", "10.1.0.1"})
            reply.answers.push_back(DnsServer::ipv4(senseless));
        return reply;
    });
    config::Upstream upstream = looking_up(server);
    upstream.discovery[0].max_backends = 100;
    Finder finder(upstream, {*Endpoint::parse("10.1.0.1:80")});
    ASSERT_TRUE(finder.until([&] { return finder.source().answers > 0; }));
    ASSERT_TRUE(finder.until([&] { return finder.discovery->list().size() == 100; }));
    const auto names = finder.names();
    EXPECT_EQ(names.find("10.1.0.1:80 "), std::string::npos);  // this proxy itself
    const auto answers = finder.source().answers;
    ASSERT_TRUE(finder.until([&] { return finder.source().answers > answers + 2; }));
    EXPECT_EQ(finder.names(), names);
    EXPECT_GT(finder.source().ignored, 900U);
}

TEST(Discovery, D7_a_ttl_of_nothing_does_not_make_it_ask_all_the_time) {
    DnsServer server(DnsServer::always(
        {DnsServer::ipv4("10.0.0.1", 0), DnsServer::ipv4("10.0.0.2", 0x8000'0000U)}));
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.find("10.0.0.1:80 10.0.0.2:80"));
    const auto start = test::Clock::now();
    const auto before = server.queries();
    ASSERT_TRUE(finder.until([&] { return server.queries() >= before + 10; }));  // A and AAAA each
    EXPECT_GE(test::since(start), 400ms);
}

TEST(Discovery, D9_a_backend_that_is_down_leaves_with_its_record) {
    DnsServer server(DnsServer::always({DnsServer::ipv4("10.0.0.1"), DnsServer::ipv4("10.0.0.2")}));
    config::Upstream upstream = looking_up(server);
    upstream.discovery[0].removal_delay = 1h;
    Finder finder(upstream);
    ASSERT_TRUE(finder.find("10.0.0.1:80 10.0.0.2:80"));
    server.set(DnsServer::always({DnsServer::ipv4("10.0.0.2")}));
    const auto answers = finder.source().answers;
    ASSERT_TRUE(finder.until([&] { return finder.source().answers > answers + 1; }));
    EXPECT_EQ(finder.names(), "10.0.0.1:80 10.0.0.2:80");
    finder.discovery->on_check("10.0.0.1:80", false);
    EXPECT_TRUE(finder.find("10.0.0.2:80"));
}

TEST(Discovery, srv_gives_ports_weights_and_tiers) {
    DnsServer server([](const std::string& name, std::uint16_t type, bool) {
        Reply reply;
        if (name == "web.test" && type == DnsServer::srv)
            reply.answers = {DnsServer::service(10, 5, 8080, "a.test"),
                             DnsServer::service(10, 0, 8081, "b.test"),
                             DnsServer::service(70, 3, 9090, "b.test"),
                             DnsServer::service(10, 1, 1, "nowhere.test")};
        if (name == "a.test" && type == DnsServer::a) reply.answers = {DnsServer::ipv4("10.0.0.1")};
        if (name == "b.test" && type == DnsServer::a) reply.answers = {DnsServer::ipv4("10.0.0.2")};
        if (name == "nowhere.test") reply.rcode = 3;
        return reply;
    });
    Finder finder(looking_up(server, config::DiscoveryType::srv));
    ASSERT_TRUE(finder.find("10.0.0.1:8080 10.0.0.2:8081 10.0.0.2:9090"));
    const auto& list = finder.discovery->list();
    EXPECT_EQ(list[0].weight, 5U);
    EXPECT_EQ(list[1].weight, 1U);  // 0 means hardly any, not none
    EXPECT_EQ(list[0].tier, 0U);
    EXPECT_EQ(list[2].tier, 1U);
    EXPECT_EQ(list[2].host, "b.test");
}

TEST(Discovery, names_of_listed_backends_and_of_this_machine) {
    config::Upstream upstream;
    config::Backend listed;
    listed.name = "fixed";
    listed.address = *Endpoint::parse("10.0.0.1:80");
    config::Backend local;
    local.name = "l";
    local.host = "localhost";
    local.host_port = 81;
    local.weight = 7;
    upstream.backends = {listed, local};
    Finder finder(upstream);
    EXPECT_EQ(finder.names(), "fixed");
    ASSERT_TRUE(
        finder.until([&] { return finder.names().find("l@127.0.0.1:81") != std::string::npos; }));
    EXPECT_EQ(finder.discovery->list().back().weight, 7U);
    EXPECT_EQ(finder.discovery->list().front().name, "fixed");
}

TEST(Discovery, D1_the_systems_name_servers_are_looked_up_again_after_a_failure) {
    test::ScopedNetns network;  // where port 53 is free
    test::ScopedMounts mounts;
    test::TempDir directory;
    const auto conf = (directory.path() / "conf").string();
    std::ofstream(conf) << "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n";  // nobody
    ASSERT_EQ(::mount(conf.c_str(), "/etc/resolv.conf", nullptr, MS_BIND, nullptr), 0);
    DnsServer server(DnsServer::always({DnsServer::ipv4("10.0.0.1")}), 53);
    config::Upstream upstream = looking_up(server);
    upstream.discovery[0].resolver.clear();
    Finder finder(upstream);
    ASSERT_TRUE(finder.until([&] { return finder.source().failures > 0; }));
    EXPECT_EQ(finder.names(), "");
    std::ofstream(conf) << "nameserver 127.0.0.1\n";
    EXPECT_TRUE(finder.find("10.0.0.1:80")) << finder.source().last_error;
}

/// The settings change; nothing is told of what follows at once.
void configure(Finder& finder, config::Upstream changed, std::vector<Endpoint> own = {}) {
    finder.settings = std::move(changed);
    finder.settings.name = "up";
    finder.discovery->configure(finder.settings, std::move(own));
}

class FromFile : public testing::Test {
protected:
    void write(const std::string& text, const std::string& name = "list") {
        const auto path = directory.path() / "new";
        std::ofstream(path) << text;
        std::filesystem::permissions(
            path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        std::filesystem::rename(path, directory.path() / name);
    }
    [[nodiscard]] config::Upstream upstream(const std::string& name = "list") const {
        config::Upstream made;
        made.backend_defaults.weight = 4;
        made.discovery.push_back({.type = config::DiscoveryType::file,
                                  .removal_delay = 0s,
                                  .path = (directory.path() / name).string()});
        return made;
    }
    test::TempDir directory;
};

TEST_F(FromFile, is_followed_and_a_wrong_one_is_not) {
    write("10.0.0.1:80\n10.0.0.2:80 name=b weight=2 tier=1\n");
    Finder finder(upstream());
    EXPECT_EQ(finder.names(), "10.0.0.1:80 b");  // before anything runs
    EXPECT_EQ(finder.discovery->list()[0].weight, 4U);
    EXPECT_EQ(finder.discovery->list()[1].tier, 1U);
    write("10.0.0.3:80\n");
    ASSERT_TRUE(finder.find("10.0.0.3:80"));
    write("10.0.0.4:80\nnonsense\n");
    ASSERT_TRUE(finder.until([&] { return finder.log.says(":2:1: 'nonsense' is no address"); }));
    EXPECT_EQ(finder.names(), "10.0.0.3:80");
    write(R"(["10.0.0.5:80"])");
    EXPECT_TRUE(finder.find("10.0.0.5:80"));
    EXPECT_EQ(finder.turns, (std::vector<std::string>{"fails", "well"}));
}

TEST_F(FromFile, one_that_is_bad_from_the_start_is_told_once) {
    write("nonsense\n");
    Finder finder(upstream());
    ASSERT_TRUE(finder.until([&] { return finder.source().failures >= 2; })) << "read again";
    write("10.0.0.1:80\n");
    ASSERT_TRUE(finder.find("10.0.0.1:80"));
    EXPECT_TRUE(finder.until([&] { return finder.turns.size() == 2; }));
    EXPECT_EQ(finder.turns, (std::vector<std::string>{"fails", "well"}));
}

// An end of the process would be worse than a list of before.
TEST_F(FromFile, without_memory_for_another_one_the_backends_of_before_stay) {
    write("10.0.0.1:80\n");
    Finder finder(upstream());
    const std::string long_comment = "# " + std::string(1 << 18, 'x') + '\n';
    {
        const test::Shortage shortage(1 << 16);
        write("10.0.0.2:80\n" + long_comment);
        ASSERT_TRUE(finder.until([&] { return finder.source().failures > 0; }));
        EXPECT_GT(test::Shortage::refused(), 0U);
    }
    EXPECT_TRUE(finder.log.says("there is not enough memory"));
    EXPECT_EQ(finder.names(), "10.0.0.1:80");
    write("10.0.0.3:80\n" + long_comment);
    EXPECT_TRUE(finder.find("10.0.0.3:80"));
}

TEST_F(FromFile, may_name_hosts) {
    DnsServer server(DnsServer::always({DnsServer::ipv4("10.0.0.7")}));
    write("app.test:80 name=x weight=3\n");
    auto settings = upstream();
    settings.discovery[0].resolver = {*Endpoint::parse(server.text())};
    Finder finder(settings);
    ASSERT_TRUE(finder.find("x@10.0.0.7:80"));
    EXPECT_EQ(finder.discovery->list()[0].weight, 3U);
    EXPECT_EQ(finder.discovery->list()[0].origin, Origin::name);
    write("10.0.0.1:80\n");
    EXPECT_TRUE(finder.find("10.0.0.1:80"));
    EXPECT_EQ(finder.discovery->list()[0].origin, Origin::file);
}

// The thread that reads also builds sets of backends, which may take long.
TEST_F(FromFile, what_is_read_for_a_source_that_has_left_meanwhile_is_forgotten) {
    for (const std::string name : {"list", "second", "third"}) write("10.0.0.9:80\n", name);
    write("10.0.0.4:80\n", "last");
    Finder finder(upstream());
    std::promise<void> release;
    boost::asio::post(finder.reader, [until = release.get_future().share()] { until.wait(); });
    for (const auto* name : {"second", "third"}) configure(finder, upstream(name));
    finder.context.poll();  // those of before go
    configure(finder, upstream("last"));
    release.set_value();
    bool all_read = false;
    boost::asio::post(finder.reader,
                      [&] { boost::asio::post(finder.context, [&] { all_read = true; }); });
    ASSERT_TRUE(finder.until([&] { return all_read; }));
    EXPECT_EQ(finder.names(), "10.0.0.4:80");
    EXPECT_EQ(finder.source().answers, 2U) << "of its own: when it was made, and when it began";
}

TEST(DiscoveryChange, a_source_that_is_the_same_goes_on_undisturbed) {
    DnsServer server(first);
    auto settings = looking_up(server);
    settings.discovery[0].min_ttl = settings.discovery[0].max_ttl = 1h;
    Finder finder(settings);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    const auto asked = server.queries();
    const auto answers = finder.source().answers;
    settings.attempts = 1;
    config::Backend listed;
    listed.name = "fixed";
    listed.address = *Endpoint::parse("10.0.0.9:80");
    settings.backends.push_back(listed);
    configure(finder, settings);
    EXPECT_EQ(finder.names(), "fixed 10.0.0.1:80 [2001:db8::1]:80") << "at once";
    EXPECT_TRUE(finder.discovery->settled());
    EXPECT_EQ(finder.source().answers, answers);
    EXPECT_EQ(server.queries(), asked) << "nobody is asked again";
}

TEST(DiscoveryChange, one_that_looks_in_another_way_replaces_it_with_its_first_answer) {
    DnsServer server(first);
    auto settings = looking_up(server);
    Finder finder(settings);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    DnsServer silent([](const std::string&, std::uint16_t, bool) { return Reply{.rcode = 2}; });
    settings.discovery[0].resolver = {*Endpoint::parse(silent.text())};
    settings.discovery[0].port = 81;
    configure(finder, settings);
    EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80");
    // It fails: nobody leaves because of that.
    ASSERT_TRUE(finder.until([&] { return finder.source().failures >= 3; }));
    EXPECT_TRUE(finder.discovery->settled());
    EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80");
    silent.set(DnsServer::always({DnsServer::ipv4("10.0.0.7")}));
    EXPECT_TRUE(finder.find("10.0.0.7:81"));
    const auto old = server.queries();
    const auto asked = silent.queries();
    ASSERT_TRUE(finder.until([&] { return silent.queries() > asked + 4; }));
    EXPECT_LE(server.queries(), old + 2) << "the forerunner has ended, but for a query on its way";
}

TEST(DiscoveryChange, a_second_change_before_the_first_answer_still_keeps_the_old_one) {
    DnsServer server(first);
    auto settings = looking_up(server);
    Finder finder(settings);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    DnsServer silent([](const std::string&, std::uint16_t, bool) { return Reply{.rcode = 2}; });
    settings.discovery[0].resolver = {*Endpoint::parse(silent.text())};
    for (const unsigned port : {81U, 82U, 83U}) {
        settings.discovery[0].port = port;
        configure(finder, settings);
        EXPECT_EQ(finder.names(), "10.0.0.1:80 [2001:db8::1]:80") << port;
    }
    silent.set(DnsServer::always({DnsServer::ipv4("10.0.0.7")}));
    EXPECT_TRUE(finder.find("10.0.0.7:83"));
}

TEST(DiscoveryChange, another_name_begins_without_anybody_and_the_old_ones_go) {
    DnsServer server(first);
    auto settings = looking_up(server);
    Finder finder(settings);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    settings.discovery[0].name = "other.test";
    configure(finder, settings);
    EXPECT_EQ(finder.names(), "");
    EXPECT_FALSE(finder.discovery->settled());
    server.set(DnsServer::always({DnsServer::ipv4("10.0.0.5")}));
    EXPECT_TRUE(finder.find("10.0.0.5:80"));
    settings.discovery.clear();
    configure(finder, settings);
    EXPECT_EQ(finder.names(), "");
    EXPECT_FALSE(finder.discovery->is_dynamic());
    EXPECT_TRUE(finder.discovery->settled());
}

// A listener of the new file has the address that a name stands for.
TEST(DiscoveryChange, this_machines_new_addresses_are_no_backends) {
    DnsServer server(
        DnsServer::always({DnsServer::ipv4("127.0.0.1"), DnsServer::ipv4("10.0.0.1")}));
    const auto settings = looking_up(server);
    Finder finder(settings);
    ASSERT_TRUE(finder.until([&] { return finder.discovery->list().size() == 2; }));
    configure(finder, settings, {*Endpoint::parse("127.0.0.1:80")});
    EXPECT_TRUE(finder.find("10.0.0.1:80"));
}

TEST(Discovery, of_two_backends_with_one_name_the_first_counts) {
    DnsServer server(first);
    config::Upstream upstream = looking_up(server);
    config::Backend listed;
    listed.name = "10.0.0.1:80";
    listed.address = *Endpoint::parse("10.9.9.9:1");
    upstream.backends = {listed};
    Finder finder(upstream);
    ASSERT_TRUE(finder.find("10.0.0.1:80 [2001:db8::1]:80"));
    EXPECT_EQ(finder.discovery->list()[0].address, *Endpoint::parse("10.9.9.9:1"));
    EXPECT_TRUE(finder.log.says("backend 10.0.0.1:80 comes from two sources"));
}

TEST(Discovery, stops_in_the_middle_of_a_query) {
    DnsServer server([](const std::string&, std::uint16_t, bool) { return Reply{.silent = true}; });
    Finder finder(looking_up(server));
    ASSERT_TRUE(finder.until([&] { return server.queries() > 0; }));
}

}  // namespace
}  // namespace penstock::health
