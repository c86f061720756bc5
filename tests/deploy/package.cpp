#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "tests/deploy/systemd_machine.hpp"
#include "tests/integration/scenario.hpp"
#include "tests/support/access_log.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/traffic.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

/// The package that ctest's fixture has made of this build (deploy/package/build), or that file.
fs::path built(const std::string& ending) {
    const fs::path out = fs::path(PENSTOCK_BUILD) / "package";
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(out, error))
        if (entry.path().filename().string().ends_with(ending)) return entry.path();
    throw std::runtime_error(
        out.string() + " has no *" + ending +
        ": run this by ctest, or first: deploy/package/build " PENSTOCK_BUILD " " + out.string());
}

/// A machine with the package in /tmp/1.deb, and the next revision of it in /tmp/2.deb.
class PackageMachine : public SystemdMachine {
public:
    PackageMachine() {
        copy_in(built(".deb"), "/tmp/1.deb");
        // The index of all manual pages of this machine takes longer than all the rest.
        run("ln -sf true /usr/bin/mandb");
        run("dpkg-query --status penstock >/dev/null 2>&1 && dpkg --purge penstock || true");
    }

    void make_next_revision() const {
        run("cd /tmp; dpkg-deb --raw-extract 1.deb next\n"
            "sed -i 's/^Version: .*/&+next/' next/DEBIAN/control\n"
            "dpkg-deb --root-owner-group -Zgzip -z1 --build next 2.deb; rm -r next");
    }

    void configure(const std::string& backend, const std::string& more = "") const {
        write("/etc/penstock/penstock.toml",
              "[access_log]\ntarget = \"/var/log/penstock/access.log\"\n[[listener]]\n"
              "name = \"web\"\nbind = \"127.0.0.1:80\"\nupstream = \"web\"\n"
              "[[upstream]]\nname = \"web\"\nbackend = [\"" +
                  backend + "\"]\n" + more);
    }

    /// Mode, owner and group.
    [[nodiscard]] std::string access(const std::string& file) const {
        return run("stat --printf='%a %U %G' " + file);
    }
};

const Address port_80 = Address::parse("127.0.0.1:80");

/// With the package installed and the service at work for a backend of its own, `more` at the end
/// of its configuration. The test is in its network.
class ServingMachine : public PackageMachine {
public:
    explicit ServingMachine(const std::string& more = "") {
        run("dpkg --install /tmp/1.deb");
        configure(echo_.text(), more);
        run("systemctl start penstock.service");
    }

private:
    Network network_ = enter_network();
    EchoServer echo_;
};

TEST(Package, installs_what_a_service_needs_and_starts_nothing) {
    const PackageMachine machine;
    const auto said = machine.run("dpkg --install /tmp/1.deb");
    EXPECT_EQ(machine.run("dpkg --audit"), "") << said;
    EXPECT_EQ(machine.run("dpkg --verify penstock"), "");
    EXPECT_EQ(machine.run("getent passwd penstock | cut -d: -f6,7"),
              "/nonexistent:/usr/sbin/nologin\n");
    EXPECT_EQ(machine.access("/usr/bin/penstock"), "755 root root");
    EXPECT_EQ(machine.access("/etc/penstock/penstock.toml"), "644 root root");
    EXPECT_EQ(machine.access("/var/log/penstock"), "750 penstock penstock");
    EXPECT_EQ(machine.attempt("systemctl is-enabled penstock.service").output, "disabled\n");
    EXPECT_EQ(machine.property("penstock.service", "ActiveState"), "inactive");
    machine.run("penstock check --strict");
    for (const char* page : {"man 1 penstock", "man 5 penstock.toml"})
        EXPECT_GT(machine.run(std::string(page) + " | wc -l").size(), 2U);
    machine.run("zcat /usr/share/doc/penstock/changelog.Debian.gz | dpkg-parsechangelog -l -");
    machine.run("test -s /usr/share/doc/penstock/copyright -a ! -L /usr/bin/penstock");
    // The configuration as it comes is one that runs.
    machine.run("systemctl enable --now penstock.service");
    EXPECT_EQ(machine.property("penstock.service", "ActiveState"), "active");
    // So it is with the lines that stand there as comments; the commands go on as before.
    machine.run(
        "sed -i 's/^#\\([^ ]\\)/\\1/' /etc/penstock/penstock.toml; penstock check --strict");
    for (const char* verb : {"reload", "restart"}) {
        machine.run(std::string("systemctl ") + verb + " penstock.service; penstock status");
        machine.run("curl --silent --show-error --fail http://127.0.0.1:9901/metrics");
    }
}

/// The lines of a README's examples, in ```sh, that put a recipe in force on the machine of the
/// proxy: what they need from there, up to the start of the service.
std::string steps_of(const fs::path& recipe) {
    std::ifstream file(recipe / "README.md");
    std::string steps;
    std::string block;
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line == "```sh") {
            inside = true;
            block.clear();
        } else if (inside && line == "```") {
            inside = false;
            const auto has = [&](const char* text) { return block.find(text) != block.npos; };
            if ((has("/etc/penstock/") || has("ca/$name") || has("> penstock.password")) &&
                !has("/etc/nginx"))
                steps += block;
            if (has("systemctl restart penstock\n")) return steps;
        } else if (inside) {
            block += line + "\n";
        }
    }
    throw std::runtime_error(recipe.string() + "/README.md does not start the service");
}

TEST(Package, recipes_are_put_in_force_by_their_steps) {
    const PackageMachine machine;
    machine.run("dpkg --install /tmp/1.deb; mv /etc/penstock /root/as-installed");
    for (const char* address : {"10.0.0.10", "10.0.0.20"})
        machine.run(std::string("ip address add ") + address + " dev lo");
    int count = 0;
    for (const auto& recipe : fs::directory_iterator(PENSTOCK_DEPLOY "/examples")) {
        if (!recipe.is_directory()) continue;
        ++count;
        const std::string here = "/root/" + recipe.path().filename().string();
        machine.run("mkdir " + here + "; cp -r /root/as-installed /etc/penstock");
        for (const auto& file : fs::directory_iterator(recipe))
            machine.copy_in(file.path(), here + "/" + file.path().filename().string());
        const auto done = machine.attempt("set -e; cd " + here + "\n" + steps_of(recipe.path()));
        EXPECT_EQ(done.status, 0) << here << "\n" << done.output;
        EXPECT_EQ(machine.property("penstock.service", "ActiveState"), "active") << here;
        EXPECT_EQ(machine.run("systemctl is-enabled penstock; penstock status >/dev/null"),
                  "enabled\n");
        EXPECT_EQ(machine.run("cd " + here + "; cmp penstock.toml /etc/penstock/penstock.toml"),
                  "");
        machine.run(
            "systemctl disable --now penstock; rm -rf /etc/penstock "
            "/etc/systemd/system/penstock.service.d; systemctl daemon-reload");
    }
    EXPECT_EQ(count, 10);
}

/// What the page of Prometheus has in its first block of this kind, as it stands there.
std::string block_for_prometheus(const std::string& kind) {
    const auto page = read_file(PENSTOCK_DEPLOY "/prometheus/README.md");
    const std::string begin = "   ```" + kind + "\n";
    const auto at = page.find(begin);
    const auto end = page.find("   ```\n", at + 1);
    if (at == page.npos || end == page.npos) throw std::runtime_error("no block of " + kind);
    return std::regex_replace(page.substr(at + begin.size(), end - at - begin.size()),
                              std::regex("(^|\n)   "), "$1");
}

/// Somebody at an editor: what the page tells to add to the file that is there, and one address.
constexpr const char* editor = R"(editor() {
    python3 - "$1" "$2" <<'END'
import sys, yaml
ours, theirs = (yaml.safe_load(open(file)) for file in sys.argv[1:])
theirs["rule_files"] = ours["rule_files"]
theirs["scrape_configs"] += ours["scrape_configs"]
theirs["scrape_configs"][-1]["static_configs"][0]["targets"] = ["10.0.0.10:9901"]
yaml.safe_dump(theirs, open(sys.argv[2], "w"))
END
}
)";

TEST(Package, a_recipe_is_seen_by_prometheus_by_the_steps_of_its_page) {
    const PackageMachine machine;
    machine.run("dpkg --install /tmp/1.deb; ip address add 10.0.0.10 dev lo");
    const fs::path recipe = PENSTOCK_DEPLOY "/examples/postgres";
    fs::copy(recipe, machine.path("/root/postgres"));
    fs::copy(PENSTOCK_DEPLOY "/prometheus", machine.path("/root/prometheus"),
             fs::copy_options::recursive);
    machine.run("set -e; cd /root/postgres\n" + steps_of(recipe));
    // What is told to be there is there, as comments; they come off.
    machine.run(
        "sed -i 's/^#\\([^ ]\\)/\\1/; s/^#$//' /etc/penstock/penstock.toml; penstock reload");
    EXPECT_TRUE(
        machine.run("cat /etc/penstock/penstock.toml").contains(block_for_prometheus("toml")));

    // Debian's package starts it.
    machine.run("systemctl start prometheus");
    machine.run(std::string(editor) + "set -e; cd /root/prometheus\n" + block_for_prometheus("sh") +
                "rm /etc/prometheus/targets/penstock.yml");
    const auto up = [&] {
        return machine
            .attempt("promtool query instant http://127.0.0.1:9090 'up{job=\"penstock\"}'")
            .output;
    };
    EXPECT_TRUE(wait_for([&] { return up().contains("=> 1 @"); }, 60s)) << up();
    EXPECT_TRUE(
        machine.run("curl -sf http://127.0.0.1:9090/api/v1/rules").contains("PenstockDown"));
}

TEST(Package, upgrade_loses_no_connection) {
    const ServingMachine machine;
    Traffic traffic({.per_second = full_rate() / 20, .long_lived = 20});
    machine.configure(traffic.backends().front());
    machine.run("systemctl enable penstock.service; systemctl reload penstock.service");
    traffic.start({port_80});
    ASSERT_TRUE(traffic.wait_for_more(20));
    const auto before = machine.main_pid("penstock.service");
    machine.make_next_revision();
    const auto said = machine.run("dpkg --install /tmp/2.deb");
    EXPECT_NE(said.find("upgraded: process"), std::string::npos) << said;
    EXPECT_TRUE(wait_for([&] { return machine.main_pid("penstock.service") != before; })) << said;
    ASSERT_TRUE(traffic.wait_for_more(20));
    traffic.finish();
    EXPECT_TRUE(traffic.problems().empty()) << traffic.problems().front();
    EXPECT_EQ(machine.property("penstock.service", "ActiveState"), "active");
    EXPECT_EQ(machine.run("systemctl is-enabled penstock.service"), "enabled\n");
    EXPECT_NE(machine.run("cat /etc/penstock/penstock.toml").find("127.0.0.1:80"),
              std::string::npos)
        << "the administrator's file stays";
    EXPECT_EQ(machine.run("readlink /proc/$(systemctl show -P MainPID penstock)/exe"),
              "/usr/bin/penstock\n")
        << "the new program, not a deleted one";
}

TEST(Package, upgrade_without_an_admin_socket_goes_by_signal) {
    const ServingMachine machine(
        "[[admin.listener]]\nbind = \"127.0.0.1:9901\"\naccess = \"metrics\"\n");
    machine.run("test ! -e /run/penstock/admin.sock");
    auto client = established(port_80);
    ASSERT_TRUE(client);
    const auto before = machine.main_pid("penstock.service");
    machine.make_next_revision();
    machine.run("dpkg --install /tmp/2.deb");
    EXPECT_TRUE(wait_for([&] { return machine.main_pid("penstock.service") != before; }));
    EXPECT_TRUE(ping(*client));
}

TEST(Package, upgrade_that_cannot_take_over_leaves_the_old_program_and_says_so) {
    const ServingMachine machine;
    machine.run("echo nonsense >>/etc/penstock/penstock.toml");
    const auto before = machine.main_pid("penstock.service");
    machine.make_next_revision();
    const auto said = machine.run("dpkg --install /tmp/2.deb");
    EXPECT_NE(said.find("the program from before serves on"), std::string::npos) << said;
    EXPECT_EQ(machine.main_pid("penstock.service"), before);
    EXPECT_TRUE(echo_once(port_80));
}

TEST(Package, upgrade_is_not_misled_by_the_socket_of_a_process_that_died) {
    const PackageMachine machine;
    machine.run(
        "dpkg --install /tmp/1.deb; mkdir /run/penstock; python3 -c 'import socket\n"
        "socket.socket(socket.AF_UNIX).bind(\"/run/penstock/admin.sock\")'");
    machine.make_next_revision();
    const auto with_systemd = machine.run("dpkg --install /tmp/2.deb");
    EXPECT_EQ(with_systemd.find("penstock: "), std::string::npos) << with_systemd;
    const auto without = machine.run(
        "unshare --mount bash -c 'mkdir /tmp/run; mv /run/penstock /tmp/run; "
        "mount --bind /tmp/run /run; dpkg --install /tmp/1.deb 2>&1'");
    EXPECT_EQ(without.find("the program from before"), std::string::npos) << without;
}

TEST(Package, logs_rotate_while_it_serves_also_those_of_a_process_from_before_an_upgrade) {
    const ServingMachine machine;
    auto old_client = established(port_80);
    ASSERT_TRUE(old_client && echo_once(port_80));
    machine.run("penstock upgrade");
    const std::string log = "/var/log/penstock/access.log";
    ASSERT_TRUE(wait_for([&] { return machine.attempt("test -s " + log).status == 0; }));
    machine.run("logrotate --force /etc/logrotate.d/penstock");
    EXPECT_EQ(machine.access(log), "640 penstock penstock");
    // Both processes have the file open under its name, and no other one.
    EXPECT_TRUE(wait_for([&] {
        return machine.run(
                   "for p in $(pgrep -x penstock); do readlink /proc/$p/fd/* | "
                   "grep access.log; done") == log + "\n" + log + "\n";
    })) << machine.run("ls -l /var/log/penstock; ls -l /proc/$(pgrep -x penstock | head -1)/fd");
    old_client->finish();
    EXPECT_EQ(old_client->wait_end(), End::fin);
    ASSERT_TRUE(echo_once(port_80));
    EXPECT_TRUE(wait_for([&] { return machine.run("wc -l <" + log) == "2\n"; }));
    // Other systems have no start-stop-daemon.
    machine.run(
        "rm \"$(command -v start-stop-daemon)\"; hash -r; ! command -v start-stop-daemon\n"
        "logrotate --force /etc/logrotate.d/penstock");
    const auto links = "for p in $(pgrep -x penstock); do readlink /proc/$p/fd/*; done";
    EXPECT_TRUE(wait_for([&] {
        const auto open = machine.run(links);
        return open.contains(log + "\n") && !open.contains(log + ".1");
    })) << machine.run(links);
}

TEST(Package, nothing_is_left_after_remove_and_purge) {
    const PackageMachine machine;
    const auto everything = "find /etc /opt /run /srv /usr /var -name '*penstock*' | sort";
    const auto before = machine.run(everything);
    const auto accounts = machine.run("cat /etc/passwd /etc/group");
    machine.run("dpkg --install /tmp/1.deb; systemctl enable --now penstock.service");
    EXPECT_NE(machine.run(everything), before);
    machine.run("dpkg --remove penstock");
    EXPECT_NE(machine.attempt("pgrep -x penstock").status, 0) << "stopped";
    machine.run("test -e /etc/penstock/penstock.toml");
    machine.run("dpkg --purge penstock");
    EXPECT_EQ(machine.run(everything), before);
    EXPECT_EQ(machine.run("cat /etc/passwd /etc/group"), accounts);
    EXPECT_NE(machine.attempt("systemctl cat penstock.service").status, 0);
    // What the administrator has put there is not ours.
    machine.run("dpkg --install /tmp/1.deb; touch /etc/penstock/mine; dpkg --purge penstock");
    machine.run("test -e /etc/penstock/mine");
}

TEST(Package, installs_where_no_systemd_runs) {
    const PackageMachine machine;
    // As in the making of an image: a root, and nobody to start anything.
    const std::string elsewhere = "unshare --mount bash -c 'set -e; mount -t tmpfs tmpfs /run; ";
    EXPECT_EQ(
        machine.run(elsewhere + "dpkg --install /tmp/1.deb >/dev/null; penstock check >/dev/null'"),
        "");
    machine.run(elsewhere +
                "dpkg --install /tmp/1.deb; dpkg --remove penstock; dpkg --purge penstock'");
    EXPECT_EQ(machine.run("getent passwd penstock || echo none"), "none\n");
}

TEST(Package, has_what_its_pages_tell_to_use) {
    const TempDir root;
    run_program({"dpkg-deb", "--extract", built(".deb").string(), root.path().string()});
    const auto doc = root.path() / "usr/share/doc/penstock";
    EXPECT_EQ(run_program({"find", doc.string(), "-xtype", "l"}), "") << "links that lead nowhere";
    EXPECT_EQ(run_program({"diff", "-r", "--exclude=package", "--exclude=__pycache__",
                           PENSTOCK_DEPLOY, (doc / "deploy").string()}),
              "");
    EXPECT_EQ(run_program({"find", (doc / "deploy").string(), "-name", "*.sh", "!", "-executable"}),
              "");
}

/// What `cmake --install` puts under a root.
class FromSource : public ::testing::Test {
protected:
    void install(const std::string& prefix) const {
        run_program({"env", "DESTDIR=" + root.path().string(), "cmake", "--install", PENSTOCK_BUILD,
                     "--prefix", prefix},
                    120s);
    }
    [[nodiscard]] bool has(const std::string& file) const { return fs::exists(root.path() / file); }

    TempDir root;
};

TEST_F(FromSource, everything_goes_where_it_belongs) {
    install("/usr/local");
    for (const char* file :
         {"usr/local/bin/penstock", "usr/local/share/man/man1/penstock.1",
          "usr/local/share/man/man5/penstock.toml.5",
          "usr/local/share/zsh/site-functions/_penstock",
          "usr/local/share/bash-completion/completions/penstock", "etc/logrotate.d/penstock",
          "usr/local/lib/systemd/system/penstock.socket", "etc/penstock/penstock.toml"})
        EXPECT_TRUE(has(file)) << file;
    const auto unit =
        run_program({"cat", root.path("usr/local/lib/systemd/system/penstock.service")});
    EXPECT_NE(unit.find("ExecStart=/usr/local/bin/penstock run"), std::string::npos) << unit;
    EXPECT_EQ(unit.find("/usr/bin/penstock"), std::string::npos) << unit;
    // Every link of the pages leads to something that has been installed, too.
    EXPECT_EQ(
        run_program({"python3", "-B", "-c",
                     "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import check\n"
                     "print(*check.check_links(pathlib.Path(sys.argv[2])), sep='\\n', end='')",
                     PENSTOCK_SOURCE "/tests/docs", root.path("usr/local/share/doc/penstock")}),
        "");
}

TEST_F(FromSource, a_configuration_that_is_there_stays) {
    install("/usr");
    EXPECT_TRUE(has("usr/share/zsh/vendor-completions/_penstock"));
    const auto file = root.path("etc/penstock/penstock.toml");
    std::ofstream(file) << "mine";
    install("/usr");
    EXPECT_EQ(run_program({"cat", file}), "mine");
}

TEST(Package, lintian_finds_no_error) {
    EXPECT_EQ(run_program(
                  {"lintian", "--allow-root", "--fail-on", "error,warning", built(".deb").string()},
                  120s),
              "");
}

TEST(Package, F6_what_is_in_it_is_listed_and_summed) {
    run_program({"bash", "-c", "cd \"$1\" && sha256sum --quiet --check \"$2\"", "bash",
                 built(".sha256").parent_path().string(), built(".sha256").string()});
    // Every shared library that the package depends on, and what is compiled in from headers alone.
    run_program({"python3", "-c", R"(
import json, re, subprocess, sys
document = json.load(open(sys.argv[1]))
names = {package["name"] for package in document["packages"]}
depends = subprocess.run(["dpkg-deb", "--field", sys.argv[2], "Depends"], check=True,
                         capture_output=True, text=True).stdout
libraries = {re.split(r"[ (]", word.strip())[0] for word in depends.split(",")}
libraries = {name for name in libraries if name.startswith("lib") and "|" not in name}
libraries = {re.sub(r"-fmt9$", "", name) for name in libraries}
wanted = libraries | {"penstock", "libtomlplusplus-dev", "libcli11-dev", "libboost1.81-dev"}
assert len(libraries) > 5 and wanted <= names, wanted - names
found = {package["name"]: package for package in document["packages"]}
declared = {name: package["licenseDeclared"] for name, package in found.items()}
assert declared["penstock"] == "Apache-2.0" and declared["libseccomp2"] == "LGPL-2.1-only", declared
assert declared["libtomlplusplus-dev"] == "MIT" and declared["libcli11-dev"] == "BSD-3-Clause", declared
# Of several in one source nothing says which the library has; nor does prose.
assert declared["libboost1.81-dev"] == "NOASSERTION" and declared["libstdc++6"] == "NOASSERTION", declared
assert found["libssl3"]["licenseComments"].endswith(": Apache-2.0; Artistic or GPL-1+"), found["libssl3"]
assert "licenseComments" not in found["libstdc++6"], found["libstdc++6"]
assert document["spdxVersion"] == "SPDX-2.3" and len(document["relationships"]) > len(libraries)
)",
                 built(".spdx.json").string(), built(".deb").string()});
}

TEST(Package, F6_is_the_same_bytes_whenever_it_is_built) {
    const TempDir again;
    run_program({PENSTOCK_DEPLOY "/package/build", PENSTOCK_BUILD, again.path().string()}, 240s);
    const auto first = built(".deb");
    for (const char* ending : {".deb", ".spdx.json", ".sha256"}) {
        const auto file = built(ending);
        EXPECT_NO_THROW(run_program({"cmp", file.string(), again.path(file.filename().string())}))
            << ending;
    }
}

}  // namespace
}  // namespace penstock::test
