// deploy/bird: one address on many machines, announced to the routers.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <vector>

#include "tests/deploy/network.hpp"
#include "tests/servers/server_process.hpp"
#include "tests/support/proxy_header.hpp"
#include "tests/support/proxy_process.hpp"

namespace penstock::test {
namespace {

constexpr const char* common = "203.0.113.10:80";

/// The values of a key in a unit: what systemd would run, one after the other.
std::vector<std::vector<std::string>> commands_of(const std::string& key) {
    std::vector<std::vector<std::string>> found;
    std::istringstream lines(changed(deploy_file("bird/penstock-announce.service"),
                                     {{"/usr/bin/penstock", "/usr/local/bin/penstock"}}));
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(key + "=")) continue;
        std::istringstream words(line.substr(line.find_first_not_of("+-", key.size() + 1)));
        found.push_back({std::istream_iterator<std::string>(words), {}});
    }
    if (found.empty()) throw std::runtime_error("penstock-announce.service has no " + key);
    return found;
}

/// A number in a file of deploy/, by what stands before it.
int number_in(const std::string& file, const std::string& key) {
    const auto text = deploy_file(file);
    const auto at = text.find(key);
    if (at == std::string::npos) throw std::runtime_error(file + " has no " + key);
    return std::stoi(text.substr(at + key.size()));
}

/// What a router needs to learn that nobody announces any more, with a second and a half for this
/// machine to be slow in. All of it is far below the hold time, by which everything is noticed.
milliseconds limit_of_bfd() {
    return scaled(milliseconds(number_in("bird/bird.conf", "interval ") *
                               number_in("bird/bird.conf", "multiplier ")) +
                  1500ms);
}
/// The same of the script, with two seconds: its checks are programs that have to be started.
milliseconds limit_of_checks() {
    return scaled(
        std::chrono::seconds(number_in("bird/penstock-announce", "fall=${FALL:-") *
                             number_in("bird/penstock-announce", "interval=${INTERVAL:-")) +
        2s);
}

std::vector<std::string> as_bird(const std::vector<std::string>& argv) {
    return with_privileges({"--reuid=bird", "--regid=bird", "--clear-groups"}, argv);
}

/// lb1 and lb2 with everything that the README has one install, and a router with BIRD.
class Anycast : public ::testing::Test {
protected:
    struct Balancer {
        TempDir root;
        std::unique_ptr<ProxyProcess> proxy;
        std::unique_ptr<Daemon> bird;
        std::unique_ptr<Daemon> announce;
    };

    Anycast() {
        make_run(router_root_.path());
        router_root_.write("etc/bird/bird.conf", deploy_file("bird/router.conf"));
        site_.router.run(
            {"sysctl", "-p", std::string(PENSTOCK_DEPLOY) + "/bird/router.sysctl.conf"});
        router_ = std::make_unique<Daemon>(site_.router, router_root_.path(), bird_words);
        for (std::size_t i = 0; i < balancers_.size(); ++i) {
            make_run(balancers_[i].root.path());
            install_as_told(balancers_[i].root.path(), "bird");
            start_penstock(i, deploy_file("bird/penstock.toml"));
            start_bird(i);
            start_announce(i);
        }
    }

    ~Anycast() override {
        for (const auto& balancer : balancers_)
            if (balancer.proxy) begin_stop(*balancer.proxy);
    }

    [[nodiscard]] const Machine& machine(std::size_t index) const {
        return site_.balancers.at(index);
    }

    static void make_run(const std::filesystem::path& root) {
        run_program({"install", "-d", "-o", "bird", "-g", "bird", (root / "run/bird").string()});
    }

    void start_penstock(std::size_t index, const std::string& toml) {
        const auto inside = machine(index).enter();
        balancers_[index].proxy.reset();
        balancers_[index].proxy = std::make_unique<ProxyProcess>(toml);
    }

    void start_bird(std::size_t index) {
        balancers_[index].bird =
            std::make_unique<Daemon>(machine(index), balancers_[index].root.path(), bird_words);
    }

    void start_announce(std::size_t index, const std::string& check = {}) {
        const auto& root = balancers_[index].root.path();
        run_in(machine(index), root, commands_of("ExecStartPre").at(0));
        auto command = commands_of("ExecStart").at(0);
        if (!check.empty()) {
            command.resize(2);
            command.insert(command.end(), {"sh", "-c", "exec " + check});
        }
        balancers_[index].announce =
            std::make_unique<Daemon>(machine(index), root, as_bird(command));
    }

    /// BIRD's client.
    std::string birdc(std::size_t index, std::vector<std::string> words) const {
        words.insert(words.begin(), "birdc");
        return run_in(machine(index), balancers_[index].root.path(), words);
    }

    /// The next hops of the common address on the router.
    [[nodiscard]] std::set<std::string> hops() const {
        std::istringstream words(site_.router.ip("route show 203.0.113.10"));
        std::set<std::string> found;
        for (std::string word; words >> word;)
            if (word == "via" && words >> word) found.insert(word);
        return found;
    }

    /// How long after `start` the router had them.
    milliseconds wait_hops(const std::set<std::string>& expected,
                           Clock::time_point start = Clock::now()) const {
        const bool came = wait_for([&] { return hops() == expected; });
        const auto took = since(start);
        std::cout << "the router has these hops after " << took.count() << " ms\n";
        EXPECT_TRUE(came) << site_.router.ip("route") << router_->said() << said(0) << said(1);
        return took;
    }

    [[nodiscard]] std::string said(std::size_t index) const {
        return machine(index).name() + ":\n" + balancers_[index].bird->said() +
               balancers_[index].announce->said();
    }

    /// Whether a failed check is told with these words; a busy machine may keep it from its answer
    /// for the two seconds that it has.
    [[nodiscard]] bool tells_why(std::size_t index, std::string_view words) const {
        return wait_for([&] {
            const std::string text = balancers_[index].announce->said();
            return text.contains(words) || text.contains("(no answer)");
        });
    }

    /// Flows by the machine that they came through.
    using Flows = std::map<std::string, std::vector<std::unique_ptr<Flow>>>;
    [[nodiscard]] Flows flows(int count, const std::string& to = common) const {
        Flows made;
        for (int i = 0; i < count; ++i) {
            auto flow = site_.connect(to);
            EXPECT_TRUE(flow) << "client " << i << " of " << to;
            if (flow) made[flow->through].push_back(std::move(flow));
        }
        return made;
    }

    static std::size_t living(const std::vector<std::unique_ptr<Flow>>& flows) {
        std::size_t count = 0;
        for (const auto& flow : flows) count += flow->lives() ? 1 : 0;
        return count;
    }

    void penstock(std::size_t index, const std::string& command) const {
        const auto socket = balancers_[index].proxy->directory() / "admin.sock";
        const auto result = run_penstock({command, "--admin", "unix:" + socket.string()});
        EXPECT_EQ(result.exit_status, 0) << result.errors;
    }

    static inline const std::vector<std::string> bird_words{"bird", "-d", "-u",
                                                            "bird", "-g", "bird"};
    static inline const std::string first = "198.51.100.11", second = "198.51.100.12";
    Site site_{2};
    TempDir router_root_;
    std::unique_ptr<Daemon> router_;
    std::array<Balancer, 2> balancers_;
};

TEST_F(Anycast, ClientsLandOnBothAndWhoDrainsIsLeft) {
    wait_hops({first, second});
    auto before = flows(60);
    ASSERT_EQ(before.size(), 2U) << "60 clients, and all came through one machine";

    penstock(0, "drain");
    wait_hops({second});
    EXPECT_TRUE(tells_why(0, "(the process is draining)")) << said(0);
    EXPECT_EQ(living(before[second]), before[second].size());
    // Their packets reach the other machine now, which resets them: docs/scaling.md says so.
    EXPECT_EQ(living(before[first]), 0U);
    auto meanwhile = flows(40);
    ASSERT_FALSE(meanwhile.contains(first));

    penstock(0, "undrain");
    wait_hops({first, second});
    // A plain hash over two hops gives each its half again, whoever has come meanwhile.
    EXPECT_EQ(living(before[second]), before[second].size());
    const std::size_t left = living(meanwhile[second]);
    std::cout << left << " of 40 connections lived on when a hop was added\n";
    EXPECT_GT(left, 0U);
    EXPECT_LT(left, 40U);
}

TEST_F(Anycast, ResilientGroupLeavesLiveConnectionsAlone) {
    wait_hops({first, second});
    router_->kill();  // from here on the router's groups are set by hand
    const auto group = [&](const std::string& verb, const std::string& members) {
        site_.router.ip("nexthop " + verb + " id 10 group " + members +
                        " type resilient buckets 256 idle_timer 120 unbalanced_timer 0");
    };
    // Each machine twice: a group of one hop would not keep account of what it carries.
    for (const std::string id : {"1", "2"}) {
        for (const std::string& twin : {id, id + id})
            site_.router.ip("nexthop add id " + twin + " via 198.51.100.1" + id + " dev lan");
    }
    group("add", "1/11/2/22");
    site_.router.ip("route replace 203.0.113.10/32 nhid 10");
    auto before = flows(60);
    ASSERT_EQ(before.size(), 2U);

    group("replace", "2/22");
    EXPECT_EQ(living(before[second]), before[second].size());
    EXPECT_EQ(living(before[first]), 0U);
    auto meanwhile = flows(40);
    group("replace", "1/11/2/22");
    EXPECT_EQ(living(before[second]), before[second].size());
    EXPECT_EQ(living(meanwhile[second]), 40U);

    // Drained by weight instead: busy buckets stay where they are, and so do their connections.
    auto later = flows(60);
    group("replace", "1,1/11,1/2,255/22,255");
    for (const auto& [through, made] : later) EXPECT_EQ(living(made), made.size()) << through;
}

/// Three machines whose routes the test sets by hand: what a plain hash costs the others' clients.
class PlainEcmp : public ::testing::Test {
protected:
    PlainEcmp() {
        site_.router.run(
            {"sysctl", "-p", std::string(PENSTOCK_DEPLOY) + "/bird/router.sysctl.conf"});
        for (const auto& balancer : site_.balancers) {
            balancer.ip("address add 203.0.113.10/32 dev lo");
            const auto inside = balancer.enter();
            proxies_.push_back(std::make_unique<ProxyProcess>(deploy_file("bird/penstock.toml")));
        }
    }
    ~PlainEcmp() override {
        for (const auto& proxy : proxies_) begin_stop(*proxy);
    }

    /// The machines by their numbers, in the order of the router's list.
    void route_to(const std::string& numbers) const {
        std::string words = "route replace 203.0.113.10/32";
        for (const char number : numbers)
            words += std::string(" nexthop via 198.51.100.1") + number + " dev lan";
        site_.router.ip(words);
    }

    /// The share of connections that end when the route changes, of those to machines that stay.
    [[nodiscard]] double lost(const std::string& from, const std::string& to) const {
        route_to(from);
        std::vector<std::unique_ptr<Flow>> of_others;
        for (int i = 0; i < 240; ++i) {
            auto flow = site_.connect(common);
            EXPECT_TRUE(flow) << "client " << i << " through " << from;
            if (flow && to.contains(flow->through.back())) of_others.push_back(std::move(flow));
        }
        route_to(to);
        const auto ended =
            std::ranges::count_if(of_others, [](const auto& flow) { return !flow->lives(); });
        const double share = static_cast<double>(ended) / static_cast<double>(of_others.size());
        std::cout << from << " -> " << to << ": lost " << ended << " of " << of_others.size()
                  << " connections of others, " << 100 * share << " %\n";
        return share;
    }

    Site site_{3};
    std::vector<std::unique_ptr<ProxyProcess>> proxies_;
};

// The tables of deploy/bird/README.md and docs/scaling.md.
TEST_F(PlainEcmp, CostsTheOthersAQuarterOrHalf) {
    const auto is_about = [](double share, double expected) {
        return share > expected - 0.13 && share < expected + 0.13;
    };
    EXPECT_PRED2(is_about, lost("123", "23"), 0.25) << "the first leaves";
    EXPECT_PRED2(is_about, lost("123", "12"), 0.25) << "the last leaves";
    EXPECT_EQ(lost("123", "13"), 0.0) << "the one in the middle leaves";
    EXPECT_EQ(lost("12", "1"), 0.0) << "one is left";
    EXPECT_PRED2(is_about, lost("12", "123"), 0.5) << "one more";
}

TEST_F(Anycast, KilledPenstockIsLeft) {
    const bool in_time = in_one_of_three_windows([&] {
        if (!balancers_[0].proxy) start_penstock(0, deploy_file("bird/penstock.toml"));
        wait_hops({first, second});
        auto before = flows(40);
        const auto start = Clock::now();
        balancers_[0].proxy->kill();
        balancers_[0].proxy.reset();
        const auto took = wait_hops({second}, start);
        EXPECT_EQ(living(before[second]), before[second].size());
        EXPECT_EQ(flows(20)[second].size(), 20U);
        return took <= limit_of_checks();
    });
    EXPECT_TRUE(in_time) << "later than " << limit_of_checks().count() << " ms, three times";
}

TEST_F(Anycast, KilledBirdIsLeftAndComesBack) {
    const bool in_time = in_one_of_three_windows([&] {
        wait_hops({first, second});
        auto before = flows(40);
        const auto start = Clock::now();
        balancers_[0].bird->kill();
        const auto took = wait_hops({second}, start);
        EXPECT_EQ(living(before[second]), before[second].size());
        start_bird(0);
        wait_hops({first, second});
        return took <= limit_of_bfd();
    });
    EXPECT_TRUE(in_time) << "later than " << limit_of_bfd().count() << " ms, three times";
}

TEST_F(Anycast, VanishedMachineIsLeftBeforeTheHoldTime) {
    const bool in_time = in_one_of_three_windows([&] {
        wait_hops({first, second});
        // Nothing says goodbye: only BFD, or the hold time of BGP, can tell.
        const auto start = Clock::now();
        machine(0).run({"nft",
                        "add table ip gone; add chain ip gone in { type filter hook input "
                        "priority 0; policy drop; }; add chain ip gone out { type filter hook "
                        "output priority 0; policy drop; }"});
        const auto took = wait_hops({second}, start);
        machine(0).run({"nft", "delete table ip gone"});
        return took <= limit_of_bfd();
    });
    EXPECT_TRUE(in_time) << "later than " << limit_of_bfd().count() << " ms, three times";
}

TEST_F(Anycast, ScriptTakesTheRouteWithIt) {
    wait_hops({first, second});
    balancers_[0].announce->terminate();
    wait_hops({second});
    EXPECT_TRUE(balancers_[0].announce->said().ends_with(
        "anycast: enabled (ready)\nanycast: disabled (this script ends)\n"))
        << said(0);

    start_announce(0);
    wait_hops({first, second});
    balancers_[0].announce->kill();  // no trap runs; systemd goes on with this:
    for (const auto& command : commands_of("ExecStopPost"))
        run_in(machine(0), balancers_[0].root.path(), as_bird(command));
    wait_hops({second});
    birdc(0, {"configure"});
    EXPECT_TRUE(birdc(0, {"show", "protocols", "anycast"}).contains(" down ")) << said(0);
}

TEST_F(Anycast, BirdThatReadsItsConfigurationAgainAnnouncesWhatItDid) {
    wait_hops({first, second});
    auto before = flows(40);
    const auto withdrawals = [&] {
        const auto shown = birdc(0, {"show", "protocols", "all", "router1"});
        const auto line = shown.find("Export withdraws:");
        EXPECT_NE(line, std::string::npos) << shown;
        return shown.substr(line, shown.find('\n', line) - line);
    };
    const auto withdrawn = withdrawals();
    for (int i = 0; i < 3; ++i) {
        // With a change, as it is in life.
        balancers_[0].root.write("etc/bird/bird.conf", deploy_file("bird/bird.conf") +
                                                           "protocol static other" +
                                                           std::to_string(i) + " { ipv4; }\n");
        birdc(0, {"configure"});
        EXPECT_TRUE(wait_for([&] {
            return birdc(0, {"show", "protocols"}).contains("other" + std::to_string(i));
        })) << said(0);
        EXPECT_TRUE(birdc(0, {"show", "protocols", "anycast"}).contains(" up ")) << said(0);
    }
    EXPECT_EQ(withdrawals(), withdrawn);
    for (auto& [through, made] : before) EXPECT_EQ(living(made), made.size()) << through;

    // Nor does it announce what Penstock does not want.
    penstock(0, "drain");
    wait_hops({second});
    birdc(0, {"configure"});
    EXPECT_TRUE(birdc(0, {"show", "protocols", "anycast"}).contains(" down ")) << said(0);
}

TEST_F(Anycast, NodeOfKubernetesAsksWithCurl) {
    const auto page = deploy_file("kubernetes/README.md");
    const auto begin = page.find("/usr/bin/curl ");
    ASSERT_NE(begin, std::string::npos);
    const auto check = page.substr(begin, page.find('`', begin) - begin);
    ASSERT_TRUE(page.contains("`/usr/bin/penstock ready --admin 127.0.0.1:9901`"))
        << "what it takes the place of";
    wait_hops({first, second});
    balancers_[0].announce->terminate();
    wait_hops({second});
    start_announce(0, check);
    wait_hops({first, second});
    penstock(0, "drain");
    wait_hops({second});
    EXPECT_TRUE(tells_why(0, "503")) << said(0);
}

TEST_F(Anycast, WithoutBackendsOrPenstockNothingIsAnnounced) {
    wait_hops({first, second});
    machine(1).run({"nft",
                    "add table ip cut; add chain ip cut out { type filter hook output "
                    "priority 0; }; add rule ip cut out tcp dport 8080 drop"});
    wait_hops({first});
    // A listener in drain is the process in drain, unless one asks for another one alone.
    const AdminClient admin = balancers_[0].proxy->admin();
    EXPECT_EQ(admin.post("/api/v1/drain?listener=web").status, 200);
    EXPECT_EQ(admin.get("/readyz?listener=web").status, 503);
    EXPECT_EQ(admin.get("/readyz?upstream=web").status, 200);
    wait_hops({});
}

TEST_F(Anycast, EachSourceHasTheSameServerThroughEitherMachine) {
    std::map<std::string, int> shares;
    const auto source = [](int i) {
        return "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    };
    std::vector<std::string> servers;
    for (int i = 0; i < 500; ++i) {
        const auto one = site_.connect(first + ":80", source(i));
        const auto two = site_.connect(second + ":80", source(i));
        ASSERT_TRUE(one && two) << source(i);
        ASSERT_EQ(one->server, two->server) << source(i);
        servers.push_back(one->server);
        ++shares[one->server];
    }
    EXPECT_EQ(shares.size(), 3U);
    for (const auto& [server, share] : shares) EXPECT_GT(share, 120) << server;

    // A proxy in front that tells the source by the PROXY protocol: the same again.
    const std::string bind = "bind = \":80\"\n";
    const std::string toml = changed(
        deploy_file("bird/penstock.toml"),
        {{bind, bind + "proxy_protocol = \"v2\"\nproxy_protocol_from = [\"192.0.2.2\"]\n"}});
    for (std::size_t i = 0; i < 2; ++i) {
        start_penstock(i, toml);
    }
    for (int i = 0; i < 500; i += 10) {
        for (const std::string& to : {first, second}) {
            const auto flow =
                site_.connect(to + ":80", "192.0.2.2", proxy_v2(source(i) + ":4000", to + ":80"));
            ASSERT_TRUE(flow) << source(i);
            EXPECT_EQ(flow->server, servers[static_cast<std::size_t>(i)]) << source(i);
        }
    }
}

}  // namespace
}  // namespace penstock::test
