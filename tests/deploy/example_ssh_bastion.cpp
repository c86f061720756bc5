// deploy/examples/ssh-bastion: real sshd behind, real ssh in front; who gets in, and whose shell
// lives on while bastions and the proxy itself are changed.
#include <gtest/gtest.h>

#include <algorithm>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>

#include "tests/deploy/machines.hpp"
#include "tests/deploy/systemd_machine.hpp"
#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

const std::string entrance = "10.0.0.20:22";

struct SshBastion : ::testing::Test {
    Machines machines{{"10.0.0.1", "10.0.0.2", "10.0.0.20", "10.9.0.1", "198.51.100.0/24",
                       "203.0.113.0/24", "192.0.2.0/24"}};
    ScopedMounts mounts;
    Example example{"ssh-bastion"};
    std::unique_ptr<ServerProcess> one;
    std::unique_ptr<ServerProcess> two;
    std::unique_ptr<ProxyProcess> proxy;

    void SetUp() override {
        // sshd wants a folder there, and an account that is not locked.
        mounts.mount_tmpfs("/run", 1 << 20);
        std::filesystem::create_directory("/run/sshd");
        const std::string shadow =
            example.directory().write("shadow", "root:*:19000:0:99999:7:::\n");
        run_program({"mount", "--bind", shadow, "/etc/shadow"});
        example.follow("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/bastion_ed25519_key", in_here());
        run_program({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", example.path("user")});
        std::filesystem::copy(example.path("user.pub"), example.path("authorized_keys"));
        std::ofstream(example.path("known_hosts"))
            << "10.0.0.20 " << read_file(example.path("bastion_ed25519_key.pub"));
        one = run_sshd("10.0.0.1");
        two = run_sshd("10.0.0.2");
    }
    [[nodiscard]] Changes in_here() const { return {{"/etc/ssh", example.directory().path()}}; }
    /// A machine's own sshd_config, which includes the recipe's part first, as Debian's does.
    [[nodiscard]] std::unique_ptr<ServerProcess> run_sshd(const std::string& address) const {
        Changes changes = in_here();
        changes.emplace_back("10.0.0.1", address);
        std::ofstream(example.path(address + ".part"))
            << example.text("sshd_bastion.conf", changes);
        std::ofstream(example.path(address + ".conf"))
            << "Include " << example.path(address + ".part") << "\nAuthorizedKeysFile "
            << example.path("authorized_keys")
            << "\nStrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n";
        return std::make_unique<ServerProcess>(ServerProcess::Command{
            .argv = {"/usr/sbin/sshd", "-D", "-E", example.path(address + ".log"), "-f",
                     example.path(address + ".conf")},
            .accepts_on = Address::parse(address + ":22")});
    }
    void start(const Changes& changes = {}) { proxy = example.run(changes); }

    /// The options of ssh for a client of that address.
    [[nodiscard]] std::vector<std::string> ssh(const std::string& client) const {
        return {"ssh", "-n",
                "-F",  "none",
                "-b",  client,
                "-i",  example.path("user"),
                "-o",  "BatchMode=yes",
                "-o",  "UserKnownHostsFile=" + example.path("known_hosts")};
    }
    /// The README's command, from that address: the words of SSH_CONNECTION.
    [[nodiscard]] std::vector<std::string> logs_in(const std::string& client) const {
        std::string options;
        for (const std::string& word : ssh(client)) options += word + " ";
        std::istringstream said(example.follow("ssh alice@10.0.0.20 'echo $SSH_CONNECTION'",
                                               {{"ssh alice@", options + "root@"}}));
        return {std::istream_iterator<std::string>(said), {}};
    }
    static Socket connect(const std::string& client) {
        auto socket = Socket::connect(Address::parse(entrance), {.source = client + ":0"});
        if (!socket) throw std::runtime_error("cannot connect from " + client);
        return std::move(*socket);
    }
    /// Whether a bastion says hello.
    static bool is_let_in(Socket& socket) { return socket.receive_text(8) == "SSH-2.0-"; }
    /// The same, and the connection has ended then.
    static bool is_let_in(const std::string& client) {
        Socket socket = connect(client);
        if (!is_let_in(socket)) return false;
        socket.finish();
        return socket.wait_end() != End::open;
    }
    [[nodiscard]] double ended(const std::string& reason) const {
        return metrics_of(*proxy).sum("penstock_sessions_closed_total",
                                      {"reason=\"" + reason + "\""});
    }
};

/// A shell that is open until it is told to end, and says then that it has lived.
class Shell {
public:
    Shell(const SshBastion& test, const std::string& client, const std::string& name)
        : pipe_(test.example.path(name)) {
        if (::mkfifo(pipe_.c_str(), 0600) != 0) throw std::runtime_error("mkfifo " + pipe_);
        word_ = UniqueFd(::open(pipe_.c_str(), O_RDWR | O_CLOEXEC));
        std::vector<std::string> argv = test.ssh(client);
        argv.insert(argv.end(), {"root@10.0.0.20",
                                 "echo $SSH_CONNECTION; read word <" + pipe_ + "; echo $word"});
        child_ = std::make_unique<ChildProcess>(argv);
        if (!wait_for([this] { return child_->output().ends_with("\n") || !child_->running(); }) ||
            !child_->running())
            throw std::runtime_error("no shell from " + client + ": " + child_->errors());
    }
    /// The bastion that it is on.
    [[nodiscard]] std::string bastion() const {
        std::istringstream words(child_->output());
        std::string word;
        for (int i = 0; i < 3; ++i) words >> word;
        return word;
    }
    [[nodiscard]] bool running() { return child_->running(); }
    /// Tells it to end; whether it has lived until then.
    [[nodiscard]] bool leave() {
        if (::write(word_.get(), "alive\n", 6) != 6) return false;
        return child_->wait_exit() == 0 && child_->output().ends_with("\nalive\n");
    }

private:
    std::string pipe_;
    UniqueFd word_;
    std::unique_ptr<ChildProcess> child_;
};

TEST_F(SshBastion, logins_are_spread_and_both_logs_meet) {
    example.expect_strict();
    start();
    Shell first(*this, "203.0.113.7", "first");
    Shell second(*this, "198.51.100.7", "second");
    EXPECT_NE(first.bastion(), second.bastion());
    const auto words = logs_in("203.0.113.7");
    ASSERT_EQ(words.size(), 4U);
    example.follow("penstock status\npenstock sessions --older 8h\npenstock closes --limit 10");
    EXPECT_TRUE(first.leave() && second.leave());

    // SSH_CONNECTION and sshd's log have Penstock's end of the connection.
    std::optional<LogLine> line;
    EXPECT_TRUE(wait_for([&] {
        for (const LogLine& each : proxy->access_log().lines())
            if (each.backend_local == words[0] + ":" + words[1]) line = each;
        return line.has_value();
    }));
    ASSERT_TRUE(line);
    EXPECT_TRUE(line->client.starts_with("203.0.113.7:")) << line->raw;
    EXPECT_EQ(line->reason, "completed") << line->raw;
    const std::string log = read_file(example.path(words[2] + ".log"));
    EXPECT_NE(log.find("Accepted publickey for root from " + words[0] + " port " + words[1]),
              log.npos)
        << log;
    example.expect_told("grep '\"backend_local\":\"10.0.0.20:41234\"' ");
    EXPECT_NE(line->raw.find("\"backend_local\":\"" + words[0] + ":" + words[1] + "\""),
              std::string::npos);
}

TEST_F(SshBastion, one_address_has_few_connections_and_comes_seldom) {
    start();
    std::vector<Socket> open;
    for (int i = 0; i < 8; ++i) {
        open.push_back(connect("203.0.113.30"));
        ASSERT_TRUE(is_let_in(open.back())) << i;
    }
    EXPECT_FALSE(is_let_in("203.0.113.30"));
    EXPECT_TRUE(wait_for([&] { return ended("limit_source") == 1; })) << proxy->errors();
    EXPECT_TRUE(is_let_in("203.0.113.31"));
    open.clear();

    // A burst of 20; one more every 6 s, should this machine stand still.
    int came = 0;
    while (came < 60 && is_let_in("203.0.113.32")) ++came;
    EXPECT_GE(came, 20);
    EXPECT_LT(came, 60);
    EXPECT_TRUE(wait_for([&] { return ended("rate_source") == 1; })) << proxy->errors();
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(is_let_in("10.9.0.1")) << "our own: " << i;
}

TEST_F(SshBastion, lists_count_as_they_are_written) {
    start();
    EXPECT_TRUE(is_let_in("198.51.100.4"));
    for (const char* refused : {"192.0.2.9", "203.0.113.201"})
        EXPECT_FALSE(is_let_in(refused)) << refused;
    EXPECT_TRUE(wait_for([&] { return ended("denied") == 2; })) << proxy->errors();
    EXPECT_TRUE(is_let_in("203.0.113.9"));
    example.follow("echo '203.0.113.9 # since today' >> /etc/penstock/blocked.txt",
                   {{"/etc/penstock", example.directory().path()}});
    // Not by asking again and again: who comes too often is refused for that.
    EXPECT_TRUE(proxy->says("2 to deny are in force")) << proxy->errors();
    EXPECT_TRUE(wait_for([&] { return !is_let_in("203.0.113.9"); }));
    EXPECT_TRUE(wait_for([&] { return ended("denied") == 3; })) << proxy->errors();
    std::ofstream(example.path("allowed.txt"), std::ios::app) << "192.0.2.9\n";
    EXPECT_TRUE(wait_for([&] { return is_let_in("192.0.2.9"); }));
}

TEST(SshBastionUnit, a_stop_has_the_time_that_the_configuration_says) {
    const Example example("ssh-bastion");
    const SystemdMachine machine;
    machine.copy_in(PENSTOCK_DEPLOY "/systemd/penstock.service",
                    "/etc/systemd/system/penstock.service");
    machine.copy_in(example.path("stop-timeout.conf"), "/root/stop-timeout.conf");
    const std::string step =
        "install -D -m 644 -t /etc/systemd/system/penstock.service.d stop-timeout.conf\n";
    example.expect_told(step);
    machine.run("cd /root; " + step + "systemctl daemon-reload");
    EXPECT_EQ(machine.property("penstock.service", "TimeoutStopUSec"), "13min");
    EXPECT_NE(
        example.text("penstock.toml").find("\ndrain = { wait = \"10m\", close_over = \"2m\" } "),
        std::string::npos);
}

TEST_F(SshBastion, maintenance_and_upgrade_leave_shells_alone) {
    start();
    Shell shell(*this, "203.0.113.7", "day");
    const bool on_one = shell.bastion() == "10.0.0.1";
    Changes names;
    if (!on_one) names = {{"one", "two"}};
    example.follow("penstock backend bastions/one drain\npenstock sessions --backend one", names);
    for (int i = 0; i < 4; ++i)
        EXPECT_EQ(logs_in("203.0.113.8").at(2), on_one ? "10.0.0.2" : "10.0.0.1");
    example.follow("penstock backend bastions/one reset", names);

    const std::string said = example.follow("penstock upgrade");
    proxy->follow_upgrade(get_json(proxy->admin(), "/api/v1/status").at("pid").to_number<pid_t>());
    EXPECT_TRUE(said.starts_with("upgraded: process ") &&
                said.find(" goes on with 1 session") != said.npos)
        << said;
    Shell later(*this, "203.0.113.7", "later");
    EXPECT_EQ(proxy->old_running(), 1U);
    EXPECT_TRUE(shell.leave());
    EXPECT_TRUE(wait_for([&] { return proxy->old_running() == 0; })) << "it has nothing left to do";
    EXPECT_TRUE(later.leave());
}

TEST_F(SshBastion, a_client_that_is_gone_without_a_word_is_found) {
    start({{R"(idle = "1m", interval = "15s", probes = 4)",
            R"(idle = "1s", interval = "1s", probes = 2)"}});
    Shell gone(*this, "203.0.113.7", "gone");
    Shell here(*this, "203.0.113.8", "here");
    for (const char* side : {"ip saddr 203.0.113.7", "ip daddr 203.0.113.7"})
        machines.network().add_rule(side);
    EXPECT_TRUE(wait_for([&] { return ended("client_lost") == 1; }));
    example.expect_told("`client_lost`");
    EXPECT_TRUE(here.leave()) << "as silent as the other one, and alive";
}

}  // namespace
}  // namespace penstock::test
