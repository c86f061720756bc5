// Upgrades that fail: the old process goes on as if nothing had happened, and says why.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <future>
#include <iterator>
#include <sstream>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

/// Children of a process, zombies included, and instead of the one that starts programs for it what
/// that has started.
std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> found;
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        std::istringstream list(read_file(task.path() / "children"));
        for (pid_t child = 0; list >> child;)
            if (read_file("/proc/" + std::to_string(child) + "/comm") != "penstock-launch\n")
                found.push_back(child);
            else
                std::ranges::copy(children_of(child), std::back_inserter(found));
    }
    return found;
}

/// The one that starts programs for it.
pid_t launcher_of(pid_t pid) {
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
        std::istringstream list(read_file(task.path() / "children"));
        for (pid_t child = 0; list >> child;)
            if (read_file("/proc/" + std::to_string(child) + "/comm") == "penstock-launch\n")
                return child;
    }
    throw std::runtime_error("no process starts programs for it");
}

/// A proxy whose binary lies in a directory of the test's own, to be replaced; and a session that
/// must survive.
class FailingUpgrade {
public:
    /// `more`: tables at the end of the configuration.
    explicit FailingUpgrade(const std::string& more = "")
        : binary_(directory_.path() / "penstock") {
        fs::copy_file(penstock_binary(), binary_);
        config_ = one_service({echo_.text()});
        config_.process = "workers = 2\nwatch_config = \"off\"";
        config_.services.push_back(
            {.name = "local", .bind = "unix:@DIR@/local.sock", .backends = {echo_.text()}});
        config_.more = more;
        const ProxyOptions options{.binary = binary_.string()};
        proxy_.emplace(config_, options);
        proxy_->guard_group();
        open_ = established(proxy_->address());
        EXPECT_TRUE(open_);
        expect_unharmed();
        descriptors_ = proxy_->descriptors();
    }

    ProxyProcess& proxy() { return *proxy_; }
    ConfigText& config() { return config_; }
    [[nodiscard]] const fs::path& binary() const { return binary_; }

    /// By rename, as packages do.
    void replace_binary(const std::string& script, bool executable = true) {
        const fs::path next = directory_.path() / "next";
        std::ofstream(next) << script;
        fs::permissions(next, executable ? fs::perms::owner_all : fs::perms::owner_read);
        fs::rename(next, binary_);
    }
    void restore_binary() {
        fs::remove(binary_);
        fs::copy_file(penstock_binary(), binary_);
    }

    /// Another process serves from now on; the first one drains, with the open session.
    void upgrade_once() {
        EXPECT_TRUE(proxy_->upgrade(60s));
        ++predecessors_;
        descriptors_ = 0;
    }
    /// The session that was open from the start.
    Socket& open() { return *open_; }

    /// The same process serves, on the same sockets, and nothing of the attempt is left.
    void expect_unharmed() {
        EXPECT_TRUE(proxy_->running());
        EXPECT_EQ(number(status_of(*proxy_).at("pid")), proxy_->pid());
        EXPECT_EQ(status_of(*proxy_).at("old_processes").as_array().size(), predecessors_);
        EXPECT_EQ(status_of(*proxy_).at("state"), "running");
        EXPECT_TRUE(open_ && ping(*open_));
        for (int i = 0; i < 10; ++i) EXPECT_TRUE(echo_once(proxy_->address()));
        EXPECT_TRUE(echo_once(proxy_->address("local"))) << "the path of its unix socket";
        EXPECT_TRUE(wait_for([&] { return children_of(proxy_->pid()).empty(); }))
            << "no child and no zombie is left";
        EXPECT_EQ(proxy_->admin().get("/readyz").status, 200);
        if (descriptors_ != 0) expect_descriptors(*proxy_, descriptors_, 2);
    }

    /// Asked for by the API: refused, with a sentence that contains one of `hints`.
    void expect_refused(const std::vector<std::string>& hints, milliseconds limit = 100s) {
        const Answer answer = post(*proxy_, "/api/v1/upgrade", "", limit);
        EXPECT_GE(answer.status, 400) << answer.text;
        const auto* error = answer.body.as_object().if_contains("error");
        ASSERT_TRUE(error != nullptr) << answer.text;
        EXPECT_TRUE(contains_one_of(std::string(error->as_string()), hints)) << answer.text;
        expect_unharmed();
    }
    /// Asked for by a signal: the log says it.
    void expect_logged(const std::vector<std::string>& hints) {
        const std::size_t from = proxy_->errors().size();
        proxy_->signal(SIGUSR2);
        EXPECT_TRUE(wait_for([&] { return contains_one_of(proxy_->errors().substr(from), hints); }))
            << proxy_->errors().substr(from);
        expect_unharmed();
    }
    /// One that does not end; another one is one too many.
    void expect_under_way() {
        EXPECT_TRUE(wait_for([&] {
            proxy_->signal(SIGUSR2);
            return proxy_->errors().contains("an upgrade is under way");
        })) << proxy_->errors();
    }
    /// And with a good binary it works.
    void expect_upgrade() {
        EXPECT_TRUE(proxy_->upgrade(60s));
        EXPECT_TRUE(echo_once(proxy_->address()));
        EXPECT_TRUE(ping(*open_));
    }

private:
    static bool contains_one_of(const std::string& text, const std::vector<std::string>& hints) {
        return std::ranges::any_of(
            hints, [&](const auto& hint) { return text.find(hint) != std::string::npos; });
    }

    TempDir directory_;
    fs::path binary_;
    EchoServer echo_;
    ConfigText config_;
    std::optional<ProxyProcess> proxy_;
    std::optional<Socket> open_;
    std::size_t descriptors_ = 0;
    std::size_t predecessors_ = 0;
};

TEST(FaultsU, U2_a_broken_configuration) {
    FailingUpgrade scene;
    const std::string good = scene.config().toml();
    scene.proxy().rewrite(good + "\nno_such_key = 1\n");
    scene.expect_refused({"no_such_key", "configuration", "exit status 2"});
    EXPECT_TRUE(scene.proxy().says("no_such_key")) << "the mistake itself is in the log";
    scene.expect_logged({"no_such_key", "configuration", "exit status 2"});
    scene.proxy().rewrite(good);
    scene.expect_upgrade();
}

TEST(FaultsU, U2_an_address_that_the_new_process_cannot_open) {
    FailingUpgrade scene;
    const UniqueFd occupied = listen_on(Address::parse(own_address(7003)));
    const std::string good = scene.config().toml();
    ConfigText next = scene.config();
    next.services.push_back(
        {.name = "taken", .bind = own_address(7003), .backends = {"127.0.0.1:1"}});
    scene.proxy().rewrite(next);
    scene.expect_refused({own_address(7003)});
    scene.proxy().rewrite(good);
    scene.expect_upgrade();
}

TEST(FaultsU, U2_a_door_of_the_api_that_the_new_process_cannot_open) {
    FailingUpgrade scene;
    const UniqueFd occupied = listen_on(Address::parse(own_address(7004)));
    const std::string good = scene.config().toml();
    ConfigText next = scene.config();
    next.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\nbind = \"" +
        own_address(7004) + "\"\naccess = \"metrics\"\n";
    scene.proxy().rewrite(next);
    scene.expect_refused({own_address(7004)});
    scene.proxy().rewrite(good);
    scene.expect_upgrade();
}

TEST(FaultsU, U2_nothing_is_left_of_the_unix_sockets_that_the_new_process_made) {
    FailingUpgrade scene;
    const UniqueFd occupied = listen_on(Address::parse(own_address(7005)));
    ConfigText next = scene.config();
    const fs::path path = scene.proxy().directory() / "fresh.sock";
    next.services.push_back(
        {.name = "fresh", .bind = "unix:" + path.string(), .backends = {"127.0.0.1:1"}});
    ConfigText refused = next;
    refused.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\nbind = \"" +
        own_address(7005) + "\"\naccess = \"metrics\"\n";
    scene.proxy().rewrite(refused);
    scene.expect_refused({own_address(7005)});
    EXPECT_FALSE(fs::exists(path)) << "it could not be opened as a whole";
    const FullBacklog mute;
    next.services.back().backends = {mute.text()};
    next.services.back().upstream = "health_check = { type = \"tcp\", timeout = \"5m\" }";
    scene.proxy().rewrite(next);
    Answer answer;
    std::thread asker([&] { answer = post(scene.proxy(), "/api/v1/upgrade", "", 100s); });
    EXPECT_TRUE(wait_for([&] { return fs::exists(path); }));
    for (const pid_t child : children_of(scene.proxy().pid())) ::kill(child, SIGTERM);
    asker.join();
    EXPECT_GE(answer.status, 400) << answer.text;
    EXPECT_FALSE(fs::exists(path)) << "it was told to stop";
    scene.expect_unharmed();
}

TEST(FaultsU, U2_a_binary_that_fails_at_once) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/false\n");
    scene.expect_refused({"exit status 1", "status 1"});
    scene.expect_logged({"exit status 1", "status 1"});
    scene.restore_binary();
    scene.expect_upgrade();
}

TEST(FaultsU, U2_a_binary_that_crashes) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\nkill -SEGV $$\n");
    scene.expect_refused({"signal 11", "SIGSEGV", "Segmentation"});
}

TEST(FaultsU, U2_a_binary_that_ends_well_without_having_served) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/true\n");
    scene.expect_refused({"exit status 0", "status 0", "ended"});
}

TEST(FaultsU, U2_no_binary_at_all) {
    FailingUpgrade scene;
    fs::remove(scene.binary());
    scene.expect_refused({scene.binary().string()});
    scene.expect_logged({scene.binary().string()});
    scene.restore_binary();
    scene.expect_upgrade();
}

TEST(FaultsU, U2_a_binary_of_which_only_a_part_has_arrived) {
    FailingUpgrade scene;
    fs::remove(scene.binary());
    std::ofstream(scene.binary()) << read_file(penstock_binary()).substr(0, 5000);
    fs::permissions(scene.binary(), fs::perms::owner_all);
    scene.expect_refused({scene.binary().string(), "signal", "status"});
}

TEST(FaultsU, U2_a_file_that_nobody_may_execute) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\nexit 0\n", false);
    scene.expect_refused({scene.binary().string(), "ermission"});
}

TEST(FaultsU, U2_killed_before_it_is_ready) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\nexec sleep 600\n");
    Answer answer;
    std::thread asker([&] { answer = post(scene.proxy(), "/api/v1/upgrade", "", 100s); });
    std::vector<pid_t> children;
    EXPECT_TRUE(wait_for([&] { return !(children = children_of(scene.proxy().pid())).empty(); }));
    // Meanwhile everything goes on, and another upgrade is one too many.
    EXPECT_TRUE(echo_once(scene.proxy().address()));
    EXPECT_EQ(post(scene.proxy(), "/api/v1/upgrade").status, 409);
    for (const pid_t child : children) ::kill(child, SIGKILL);
    asker.join();
    EXPECT_GE(answer.status, 400) << answer.text;
    EXPECT_TRUE(answer.text.find("signal 9") != std::string::npos ||
                answer.text.find("SIGKILL") != std::string::npos ||
                answer.text.find("illed") != std::string::npos)
        << answer.text;
    scene.expect_unharmed();
    scene.restore_binary();
    scene.expect_upgrade();
}

// It has more to say in that time than its channel holds, and nobody reads it.
TEST(FaultsU, U2_while_a_binary_hangs_an_old_process_goes_on_counting) {
    std::string many = "[[upstream]]\nname = \"many\"\nbackend = [ ";
    for (int i = 0; i < 1500; ++i)
        many += "{ name = \"m" + std::to_string(i) + "\", address = \"127.0.0.1:1\" }, ";
    FailingUpgrade scene(many + "]\n");
    scene.upgrade_once();
    scene.replace_binary("#!/bin/sh\nexec sleep 600\n");
    Answer answer;
    std::thread asker([&] { answer = post(scene.proxy(), "/api/v1/upgrade", "", 100s); });
    std::vector<pid_t> children;
    EXPECT_TRUE(wait_for([&] { return !(children = children_of(scene.proxy().pid())).empty(); }));
    std::this_thread::sleep_for(8s);  // so long it hangs
    for (const pid_t child : children) ::kill(child, SIGKILL);
    asker.join();
    EXPECT_EQ(answer.status, 409) << answer.text;
    scene.expect_unharmed();
    const auto moved = [&] {
        return metrics_of(scene.proxy()).sum("penstock_listener_bytes_total");
    };
    const double before = moved();
    const std::string much(10'000, 'x');
    EXPECT_TRUE(ping(scene.open(), much));
    EXPECT_TRUE(wait_for([&] { return moved() >= before + 20'000; }))
        << before << ", now " << moved();
    scene.restore_binary();
    scene.expect_upgrade();
}

// The longest test here: nobody waits for a new process for ever.
TEST(FaultsU, U2_a_binary_that_hangs_is_given_up) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\ntrap '' TERM\nexec sleep 600\n");
    scene.expect_refused({"ready", "60", "silent", "in time"}, 100s);
    EXPECT_TRUE(children_of(scene.proxy().pid()).empty()) << "it is gone, although it ignores TERM";
}

// Its disk does not come back: whoever starts it stands still.
TEST(FaultsU, U2_a_binary_on_a_disk_that_hangs_holds_nobody_up) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/false\n");
    const pid_t launcher = launcher_of(scene.proxy().pid());
    ASSERT_EQ(::kill(launcher, SIGSTOP), 0);
    scene.expect_under_way();
    EXPECT_EQ(scene.proxy().admin().get("/livez").status, 200);
    EXPECT_TRUE(echo_once(scene.proxy().address()));
    ::kill(launcher, SIGCONT);
    EXPECT_TRUE(scene.proxy().says("ended with status 1")) << scene.proxy().errors();
    scene.expect_unharmed();
    scene.restore_binary();
    scene.expect_upgrade();
}

TEST(FaultsU, U2_a_term_while_a_binary_comes_from_a_disk_that_hangs) {
    FailingUpgrade scene;
    ASSERT_EQ(::kill(launcher_of(scene.proxy().pid()), SIGSTOP), 0);
    scene.expect_under_way();
    scene.open().finish();
    const auto start = Clock::now();
    scene.proxy().stop();
    EXPECT_LT(since(start), scaled(promptly));
}

// Nobody waits for a new process as long as its slowest check may take.
TEST(FaultsU, U2_a_backend_that_is_silent_for_longer_than_an_upgrade_may_take) {
    FailingUpgrade scene;
    FullBacklog silent;
    ConfigText next = scene.config();
    next.services.push_back({.name = "silent",
                             .backends = {silent.text()},
                             .upstream = "health_check = { type = \"tcp\", timeout = \"5m\" }"});
    scene.proxy().rewrite(next);
    scene.expect_upgrade();
    EXPECT_TRUE(scene.proxy().says("without a verdict on b0")) << scene.proxy().errors();
    const auto backend = backend_of(scene.proxy(), "b0", "silent");
    EXPECT_EQ(backend.at("check").at("state"), "unknown");
}

TEST(FaultsU, U2_a_reload_meanwhile_is_for_the_new_process) {
    FailingUpgrade scene;
    FullBacklog silent;
    ConfigText next = scene.config();
    next.services.push_back({.name = "silent",
                             .backends = {silent.text()},
                             .upstream = "health_check = { type = \"tcp\", timeout = \"3s\" }"});
    scene.proxy().rewrite(next);
    const auto ask = [&](const char* target) {
        return std::async(std::launch::async,
                          [&scene, target] { return post(scene.proxy(), target, "", 60s); });
    };
    auto upgrading = ask("/api/v1/upgrade");
    const std::string started = "upgrade: started process";
    ASSERT_TRUE(scene.proxy().says(started));
    ASSERT_TRUE(wait_for([&] {  // it has read its configuration
        const std::string log = scene.proxy().errors();
        return log.find("admin API on", log.find(started)) != std::string::npos;
    })) << scene.proxy().errors();
    next.services[0].upstream = "attempts = 9";
    scene.proxy().rewrite(next);
    auto reloading = ask("/api/v1/reload");
    scene.proxy().signal(SIGHUP);
    const Answer upgraded = upgrading.get();
    ASSERT_EQ(upgraded.status, 200) << upgraded.text;
    const Answer reloaded = reloading.get();
    EXPECT_EQ(reloaded.status, 409) << reloaded.text;
    EXPECT_TRUE(reloaded.text.contains("another process has taken over")) << reloaded.text;
    scene.proxy().follow_upgrade(static_cast<pid_t>(number(upgraded.body.at("pid"))));
    EXPECT_TRUE(wait_for([&] { return config_of(scene.proxy()).contains("attempts = 9\n"); }))
        << scene.proxy().errors();
}

TEST(FaultsU, U2_a_configuration_that_only_this_process_could_read) {
    EchoServer echo;
    for (const auto& [file, words] :
         {std::pair{"-", "pipe"}, std::pair{"/dev/fd/3", "descriptor"}}) {
        const std::string script = std::string("exec \"$0\" run -c ") + file + " " +
                                   (*file == '-' ? "" : "3") + "< \"$3\"";
        ProxyProcess proxy(one_service({echo.text()}), {.wrapper = {"sh", "-c", script}});
        const Answer answer = post(proxy, "/api/v1/upgrade");
        EXPECT_EQ(answer.status, 409) << answer.text;
        EXPECT_TRUE(text(answer.body.at("error")).contains(words)) << answer.text;
        EXPECT_TRUE(children_of(proxy.pid()).empty()) << "nothing was started for it";
        EXPECT_TRUE(echo_once(proxy.address()));
    }
}

TEST(FaultsU, U2_a_term_meanwhile_ends_both) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\nexec sleep 600\n");
    scene.proxy().signal(SIGUSR2);
    std::vector<pid_t> children;
    ASSERT_TRUE(wait_for([&] { return !(children = children_of(scene.proxy().pid())).empty(); }));
    AdoptedProcess child(children.at(0));
    scene.proxy().stop();
    EXPECT_TRUE(child.wait_exit().ended) << "the one that was started does not stay behind";
    EXPECT_TRUE(scene.proxy().errors().contains("upgrade: the proxy is stopping\n"))
        << scene.proxy().errors();
}

TEST(FaultsU, U2_reloads_go_on_after_a_failed_upgrade) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/false\n");
    scene.expect_refused({"status 1"});
    scene.config().services[0].upstream = "attempts = 7";
    EXPECT_TRUE(scene.proxy().change_to(scene.config()));
    EXPECT_NE(config_of(scene.proxy()).find("attempts = 7"), std::string::npos);
    scene.expect_unharmed();
}

// U6: whoever writes more than this version knows. What it sends itself is tried in unit tests;
// this one goes over a wrapper that another program could be.
TEST(FaultsU, U6_a_wrapper_in_place_of_the_binary) {
    FailingUpgrade scene;
    scene.replace_binary("#!/bin/sh\nexport PENSTOCK_TEST_MARK=1\nexec " + penstock_binary() +
                         " \"$@\"\n");
    scene.expect_upgrade();
    const std::string environment =
        read_file("/proc/" + std::to_string(scene.proxy().pid()) + "/environ");
    EXPECT_NE(environment.find("PENSTOCK_TEST_MARK=1"), std::string::npos);
}

}  // namespace
}  // namespace penstock::test
