// deploy/bird/penstock-announce.service: sound, and at work beside Debian's BIRD under a real
// systemd.
#include <gtest/gtest.h>

#include "tests/deploy/network.hpp"
#include "tests/deploy/systemd_machine.hpp"

namespace penstock::test {
namespace {

TEST(Announce, ItsUnitIsSoundAndLetsTheScriptDoLittle) {
    const TempDir root;
    std::string unit = deploy_file("bird/penstock-announce.service");
    for (const std::string there : {"/usr/local/libexec/penstock-announce", "/usr/bin/penstock"}) {
        const std::string here = root.write(there.substr(1), "#!/bin/sh\n");
        run_program({"chmod", "755", here});
        unit = changed(unit, {{there, here}});
    }
    root.write("penstock-announce.service", unit);
    ChildProcess verify(
        {"systemd-analyze", "verify", "--man=no", root.path("penstock-announce.service")});
    EXPECT_EQ(verify.wait_exit(), 0);
    EXPECT_EQ(verify.errors(), "");
    run_program({"systemd-analyze", "security", "--offline=yes", "--threshold=20",
                 root.path("penstock-announce.service")});
}

TEST(Announce, InItsUnitItTellsBirdAndLeavesNothingBehind) {
    const SystemdMachine machine;
    machine.run(
        "ip link add eth0 type bridge && ip address add 198.51.100.11/24 dev eth0 && "
        "ip link set eth0 up && install -d /etc/penstock");
    install_as_told(machine.path(""), "bird");
    // Stands in for `penstock ready`.
    machine.write("/usr/bin/penstock", "#!/bin/sh\nexec test -e /run/ready\n");
    machine.run(
        "chmod 755 /usr/bin/penstock; systemctl daemon-reload; "
        "systemctl start bird penstock-announce");
    const auto anycast = [&] { return machine.attempt("birdc show protocols anycast").output; };
    const auto journal = [&] { return machine.run("journalctl --no-pager"); };
    const auto is = [&](const std::string& state) {
        return wait_for([&] { return anycast().contains(" " + state + " "); });
    };
    const auto noted = [&] {
        return machine.attempt("test -e /run/bird/anycast.conf").status == 0;
    };
    ASSERT_TRUE(is("down")) << journal();
    machine.run("touch /run/ready");
    ASSERT_TRUE(is("up")) << journal();
    EXPECT_TRUE(noted()) << journal();
    machine.run("systemctl reload bird");
    EXPECT_TRUE(anycast().contains(" up ")) << "it was withdrawn";
    // Started again, BIRD goes on where it was.
    machine.run("systemctl restart bird");
    EXPECT_TRUE(is("up")) << journal();

    // Nothing of the script's own runs at its end.
    machine.run("rm /run/ready; systemctl kill --kill-whom=main --signal=KILL penstock-announce");
    EXPECT_TRUE(wait_for([&] { return !noted() && anycast().contains(" down "); })) << journal();
    EXPECT_TRUE(wait_for([&] {
        return machine.property("penstock-announce", "NRestarts") == "1" &&
               machine.property("penstock-announce", "ActiveState") == "active";
    })) << journal();
    machine.run("touch /run/ready");
    ASSERT_TRUE(is("up")) << journal();
    machine.run("systemctl stop penstock-announce");
    EXPECT_TRUE(!noted() && anycast().contains(" down ")) << journal();
}

}  // namespace
}  // namespace penstock::test
