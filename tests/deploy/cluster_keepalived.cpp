// deploy/keepalived: one address on two machines.
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <iostream>
#include <memory>
#include <vector>

#include "tests/deploy/network.hpp"
#include "tests/support/proxy_process.hpp"

namespace penstock::test {
namespace {

constexpr const char* common = "198.51.100.10:80";

/// A number in keepalived.conf.
double number_of(const std::string& key) {
    const auto text = deploy_file("keepalived/keepalived.conf");
    const auto at = text.find("\n    " + key + " ");
    if (at == std::string::npos) throw std::runtime_error("keepalived.conf has no " + key);
    return std::stod(text.substr(at + key.size() + 6));
}

/// What the timers of VRRP need to move the address, and the checks of a Penstock that is gone
/// before that; with a second for this machine to be slow in.
milliseconds limit_of_vrrp() {
    return scaled(milliseconds(static_cast<int>(3.6 * 1000 * number_of("advert_int"))) + 1s);
}
milliseconds limit_of_checks() {
    return limit_of_vrrp() +
           scaled(milliseconds(static_cast<int>(1000 * number_of("fall") * number_of("interval"))));
}

/// lb1 and lb2 with everything that the README has one install.
class Pair : public ::testing::Test {
protected:
    Pair() {
        for (std::size_t i = 0; i < 2; ++i) {
            prepare(i);
            proxies_[i] = start_penstock(i);
            start_keepalived(i);
        }
        settled();
    }

    ~Pair() override {
        for (const auto& proxy : proxies_)
            if (proxy) begin_stop(*proxy);
    }

    [[nodiscard]] const Machine& machine(std::size_t index) const {
        return site_.balancers.at(index);
    }

    void prepare(std::size_t index) {
        const auto& root = roots_.at(index).path();
        std::filesystem::create_directories(root / "run");
        install_as_told(root, "keepalived");
        roots_.at(index).write("etc/keepalived/keepalived.conf",
                               changed(deploy_file("keepalived/keepalived.conf"),
                                       {{"/usr/bin/penstock", "/usr/local/bin/penstock"}}));
        roots_.at(index).write("etc/passwd", read_file("/etc/passwd") +
                                                 "keepalived_script:x:64999:65534::/:/bin/false\n");
    }

    [[nodiscard]] std::unique_ptr<ProxyProcess> start_penstock(std::size_t index) const {
        const auto inside = machine(index).enter();
        return std::make_unique<ProxyProcess>(deploy_file("keepalived/penstock.toml"));
    }

    void start_keepalived(std::size_t index) {
        keepalived_[index] = std::make_unique<Daemon>(
            machine(index), roots_.at(index).path(),
            std::vector<std::string>{"keepalived", "--dont-fork", "--log-console", "--log-detail",
                                     "--config-id", machine(index).name()});
    }

    [[nodiscard]] bool has_address(std::size_t index) const {
        return machine(index).ip("-o address show dev eth0").contains(" 198.51.100.10/24 ");
    }

    /// A client that gives up soon, as the next one may fare better.
    static constexpr milliseconds poll_limit = 2s;
    [[nodiscard]] std::unique_ptr<Flow> poll() const {
        return site_.connect(common, "192.0.2.2", {}, poll_limit);
    }

    /// Waits until exactly one machine has the address and clients reach the servers through it.
    void settled() {
        const bool one = wait_for([&] {
            if (has_address(0) == has_address(1)) return false;
            master_ = has_address(0) ? 0 : 1;
            const auto flow = poll();
            return flow && flow->through == own_address(master_);
        });
        ASSERT_TRUE(one) << keepalived_[0]->said() << keepalived_[1]->said();
    }

    [[nodiscard]] static std::string own_address(std::size_t index) {
        return "198.51.100.1" + std::to_string(index + 1);
    }
    [[nodiscard]] std::size_t other() const { return 1 - master_; }

    [[nodiscard]] std::vector<std::unique_ptr<Flow>> flows(const std::string& to, int count) const {
        std::vector<std::unique_ptr<Flow>> made;
        for (int i = 0; i < count; ++i)
            if (auto flow = site_.connect(to)) made.push_back(std::move(flow));
        EXPECT_EQ(made.size(), static_cast<std::size_t>(count)) << "clients of " << to;
        return made;
    }

    static int living(const std::vector<std::unique_ptr<Flow>>& flows) {
        int count = 0;
        for (const auto& flow : flows) count += flow->lives() ? 1 : 0;
        return count;
    }

    /// New clients all the time until they come through the other machine; how many were turned
    /// away before that machine had the address (one without an answer in two seconds has met a
    /// machine that stands still). Who is on its way at the moment of the move may be lost; how
    /// many they are is a matter of how long this machine stands still then.
    int clients_until_moved() {
        const auto start = Clock::now();
        int before = 0, during = 0;
        const bool moved = wait_for([&] {
            const auto begin = Clock::now();
            const auto flow = poll();
            if (!flow && since(begin) < poll_limit) ++(has_address(other()) ? during : before);
            return flow && flow->through == own_address(other());
        });
        EXPECT_TRUE(moved) << keepalived_[0]->said() << keepalived_[1]->said();
        std::cout << "the address moved within " << since(start).count() << " ms; " << before
                  << " clients failed before, " << during << " on the way\n";
        return before;
    }

    void penstock(std::size_t index, const std::string& command) const {
        const auto result = run_penstock(
            {command, "--admin", "unix:" + (proxies_[index]->directory() / "admin.sock").string()});
        EXPECT_EQ(result.exit_status, 0) << result.errors;
    }

    Site site_{2};
    std::array<TempDir, 2> roots_;
    std::array<std::unique_ptr<ProxyProcess>, 2> proxies_;
    std::array<std::unique_ptr<Daemon>, 2> keepalived_;
    std::size_t master_ = 0;
};

/// Advertisements that a machine has heard, from now on.
class Adverts {
public:
    explicit Adverts(const Machine& machine) : machine_(machine) {
        machine_.run({"nft",
                      "add table ip adverts; add chain ip adverts in { type filter hook "
                      "input priority 0; }; add rule ip adverts in ip protocol 112 counter"});
    }
    [[nodiscard]] int heard() const {
        const std::string text = machine_.run({"nft", "list", "table", "ip", "adverts"});
        return std::stoi(text.substr(text.find("packets ") + 8));
    }

private:
    const Machine& machine_;
};

TEST_F(Pair, DrainMovesTheAddressAndWhoComesBackDoesNotTakeIt) {
    const std::size_t first = master_, second = other();
    auto through_first = flows(common, 10);
    auto through_second = flows(own_address(second) + ":80", 10);

    penstock(first, "drain");
    EXPECT_EQ(clients_until_moved(), 0);
    EXPECT_EQ(living(through_second), 10);
    // Their packets go to the other machine now, which knows nothing of them: the README says so.
    EXPECT_EQ(living(through_first), 0);

    settled();
    ASSERT_EQ(master_, second);
    auto later = flows(common, 10);
    ASSERT_TRUE(keepalived_[first]->said().contains("priority from 100 to 80"));
    penstock(first, "undrain");
    ASSERT_TRUE(wait_for([&] {
        const std::string said = keepalived_[first]->said();
        return said.rfind("priority from 80 to 100") > said.rfind("priority from 100 to 80");
    })) << keepalived_[first]->said();
    const Adverts adverts(machine(first));
    ASSERT_TRUE(wait_for([&] { return adverts.heard() >= 3; }));
    EXPECT_FALSE(has_address(first));
    EXPECT_EQ(living(later), 10);
    EXPECT_EQ(living(through_second), 10);
}

TEST_F(Pair, KilledPenstockLosesTheAddress) {
    const bool in_time = in_one_of_three_windows([&] {
        auto through_other = flows(own_address(other()) + ":80", 10);
        const auto start = Clock::now();
        proxies_[master_]->kill();
        clients_until_moved();
        const auto took = since(start);
        EXPECT_EQ(living(through_other), 10);
        proxies_[master_].reset();
        proxies_[master_] = start_penstock(master_);
        settled();
        return took <= limit_of_checks();
    });
    EXPECT_TRUE(in_time) << "later than " << limit_of_checks().count() << " ms, three times";
}

TEST_F(Pair, KilledKeepalivedLosesTheAddressAndGivesItUpWhenItIsBack) {
    const bool in_time = in_one_of_three_windows([&] {
        const std::size_t killed = master_;
        auto through_other = flows(own_address(other()) + ":80", 10);
        const auto start = Clock::now();
        keepalived_[killed]->kill();
        clients_until_moved();
        const auto took = since(start);
        EXPECT_TRUE(has_address(killed)) << "then restart.conf would not be needed";
        EXPECT_TRUE(has_address(other()));

        // In the new process namespace number 1 is alive again, which the old file of its number
        // names.
        std::filesystem::remove(roots_[killed].path() / "run/keepalived.pid");
        std::filesystem::remove(roots_[killed].path() / "run/keepalived_vrrp.pid");
        start_keepalived(killed);
        EXPECT_TRUE(wait_for([&] { return !has_address(killed); })) << keepalived_[killed]->said();
        settled();
        EXPECT_NE(master_, killed);
        EXPECT_EQ(living(through_other), 10);
        return took <= limit_of_vrrp();
    });
    EXPECT_TRUE(in_time) << "later than " << limit_of_vrrp().count() << " ms, three times";
}

TEST_F(Pair, StoppedPenstockServesUntilTheAddressHasMoved) {
    begin_stop(*proxies_[master_]);
    EXPECT_EQ(clients_until_moved(), 0);
    EXPECT_TRUE(proxies_[master_]->running()) << "it ended before its clients went elsewhere";
    proxies_[master_]->signal(SIGTERM);
    EXPECT_EQ(proxies_[master_]->wait_exit(), 0);
    proxies_[master_].reset();
}

TEST_F(Pair, MachineWithoutBackendsGivesTheAddressToTheOther) {
    machine(master_).run({"nft",
                          "add table ip cut; add chain ip cut out { type filter hook output "
                          "priority 0; }; add rule ip cut out tcp dport 8080 drop"});
    clients_until_moved();
    EXPECT_TRUE(proxies_[master_]->admin().get("/readyz").body.contains("upstream web"));
}

TEST_F(Pair, WhereBothAreUnwellTheAddressStays) {
    penstock(other(), "drain");
    const std::string fallen = "priority from 100 to 80";
    ASSERT_TRUE(wait_for([&] { return keepalived_[other()]->said().contains(fallen); }));
    penstock(master_, "drain");
    ASSERT_TRUE(wait_for([&] { return keepalived_[master_]->said().contains(fallen); }));
    const Adverts adverts(machine(other()));
    ASSERT_TRUE(wait_for([&] { return adverts.heard() >= 3; }));
    EXPECT_TRUE(has_address(master_));
    EXPECT_FALSE(has_address(other()));
    EXPECT_EQ(flows(common, 5).size(), 5U);  // drained is not deaf
}

TEST_F(Pair, PenstockThatStandsStillLosesTheAddress) {
    const std::size_t still = master_;
    proxies_[still]->signal(SIGSTOP);
    clients_until_moved();
    proxies_[still]->signal(SIGCONT);
}

TEST(Keepalived, ItsUnitIsStartedAgain) {
    const TempDir root;
    root.write("keepalived.service.d/restart.conf", deploy_file("keepalived/restart.conf"));
    run_program({"cp", "/lib/systemd/system/keepalived.service", root.path().string()});
    const auto complaints = [&] {
        ChildProcess verify(
            {"systemd-analyze", "verify", "--man=no", root.path("keepalived.service")});
        EXPECT_TRUE(verify.wait_exit());
        return verify.errors();
    };
    EXPECT_EQ(complaints(), "");
    root.write("keepalived.service.d/restart.conf",
               deploy_file("keepalived/restart.conf") + "RestartSecs=1s\n");
    EXPECT_TRUE(complaints().contains("RestartSecs")) << "the file was not read at all";
}

}  // namespace
}  // namespace penstock::test
