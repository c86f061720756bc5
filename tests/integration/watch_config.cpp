// process.watch_config: who writes the file need not signal.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

ConfigText watched(const std::string& how, const std::string& backend, int attempts = 3) {
    ConfigText config = one_service({backend}, "", "attempts = " + std::to_string(attempts));
    config.process = "workers = 1\nwatch_config = \"" + how + "\"";
    return config;
}

bool in_force(const ProxyProcess& proxy, int attempts) {
    return config_of(proxy).find("attempts = " + std::to_string(attempts) + "\n") !=
           std::string::npos;
}

double reloads_of(const ProxyProcess& proxy) {
    return metrics_of(proxy).sum("penstock_config_reloads_total");
}

TEST(WatchConfig, off_waits_to_be_told) {
    EchoServer echo;
    ProxyProcess proxy(watched("off", echo.text()));
    ASSERT_TRUE(proxy.says(" workers, at most ")) << "the last line of the start";
    const std::size_t said = proxy.errors().size();
    proxy.rewrite(watched("off", echo.text(), 7));
    std::this_thread::sleep_for(1s);  // by then a watcher would have spoken or acted
    EXPECT_EQ(reloads_of(proxy), 0);
    const std::string since = proxy.errors().substr(said);
    for (const char* word : {"changes on disk", "attempts", "penstock.toml"})
        EXPECT_FALSE(since.contains(word)) << since;
    EXPECT_TRUE(in_force(proxy, 3));
    EXPECT_TRUE(proxy.reload());
    EXPECT_TRUE(in_force(proxy, 7));
}

TEST(WatchConfig, check_tells_what_a_reload_would_do_and_waits) {
    EchoServer echo;
    ProxyProcess proxy(watched("check", echo.text()));
    proxy.rewrite(watched("check", echo.text(), 7));
    const std::string digest(plan_of(proxy).body.at("digest").as_string());
    EXPECT_TRUE(proxy.says(digest)) << "the digest of the plan, to be applied: " << digest << "\n"
                                    << proxy.errors();
    EXPECT_TRUE(proxy.says("attempts")) << proxy.errors();
    EXPECT_TRUE(in_force(proxy, 3));
    EXPECT_EQ(reloads_of(proxy), 0);
    EXPECT_EQ(reload_now(proxy, digest).status, 200);
    EXPECT_TRUE(in_force(proxy, 7));
    // Mistakes are told as soon as they are written, not when somebody relies on the file.
    proxy.rewrite(watched("check", echo.text()).toml() + "\nno_such_key = 1\n");
    EXPECT_TRUE(proxy.says("no_such_key"));
    EXPECT_TRUE(in_force(proxy, 7));
    EXPECT_EQ(status_of(proxy).at("last_reload").at("ok"), true) << "nobody has asked for one";
}

TEST(WatchConfig, check_is_what_is_done_by_default) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    config.services[0].upstream = "attempts = 7";
    proxy.rewrite(config);
    EXPECT_TRUE(proxy.says("attempts"));
    EXPECT_EQ(reloads_of(proxy), 0);
    EXPECT_TRUE(in_force(proxy, 3));
}

TEST(WatchConfig, apply_takes_what_is_good_and_tells_what_is_not) {
    EchoServer a;
    EchoServer b;
    ConfigText config = watched("apply", a.text());
    ProxyProcess proxy(config);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    proxy.rewrite(watched("apply", a.text(), 7));
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); })) << proxy.errors();
    proxy.rewrite(watched("apply", a.text(), 8).toml() + "\nno_such_key = 1\n");
    EXPECT_TRUE(wait_for([&] { return status_of(proxy).at("last_reload").at("ok") == false; }));
    EXPECT_TRUE(in_force(proxy, 7));
    proxy.rewrite(watched("apply", b.text(), 9));
    EXPECT_TRUE(wait_for([&] { return status_of(proxy).at("last_reload").at("ok") == true; }));
    EXPECT_TRUE(in_force(proxy, 9)) << proxy.errors();
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    // It is a key like any other: from now on the proxy waits again.
    const double before = reloads_of(proxy) + 1;
    proxy.rewrite(watched("off", b.text(), 4));
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 4) && reloads_of(proxy) == before; }));
    proxy.rewrite(watched("off", b.text(), 5));
    std::this_thread::sleep_for(1s);  // by then a watcher would have acted
    EXPECT_EQ(reloads_of(proxy), before);
    EXPECT_TRUE(proxy.change_to(watched("apply", b.text(), 6)));
    proxy.rewrite(watched("apply", b.text(), 7));
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); })) << "watched again";
}

TEST(WatchConfig, apply_sees_a_file_that_is_written_in_place) {
    EchoServer echo;
    ProxyProcess proxy(watched("apply", echo.text()));
    for (int attempts = 4; attempts < 8; ++attempts) {
        std::string toml = watched("apply", echo.text(), attempts).toml();
        for (auto at = toml.find("@DIR@"); at != std::string::npos; at = toml.find("@DIR@"))
            toml.replace(at, 5, proxy.directory().string());
        std::ofstream file(proxy.config_file());
        // In parts: what is there in between is no configuration.
        file << toml.substr(0, 60) << std::flush;
        file << toml.substr(60) << std::flush;
        file.close();
        EXPECT_TRUE(wait_for([&] { return in_force(proxy, attempts); }))
            << attempts << proxy.errors();
    }
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(WatchConfig, a_file_whose_content_stays_is_no_change) {
    EchoServer echo;
    const ConfigText config = watched("apply", echo.text());
    ProxyProcess proxy(config);
    for (int i = 0; i < 5; ++i) {
        proxy.rewrite(config);
        std::filesystem::last_write_time(proxy.config_file(),
                                         std::filesystem::file_time_type::clock::now());
    }
    proxy.rewrite(watched("apply", echo.text(), 7));
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); }));
    EXPECT_TRUE(wait_for([&] { return reloads_of(proxy) > 0; })) << "counted when it is over";
    EXPECT_EQ(reloads_of(proxy), 1);
}

// Kubernetes: the file is a link to ..data/NAME, ..data a link to a directory, and a new version is
// a new directory: the file's own name never appears in an event.
TEST(WatchConfig, apply_sees_the_swap_of_a_mounted_directory) {
    EchoServer echo;
    TempDir mount;
    namespace fs = std::filesystem;
    int generation = 0;
    const auto publish = [&](int attempts) {
        const fs::path old = generation == 0 ? "" : ".." + std::to_string(generation);
        const fs::path next = ".." + std::to_string(++generation);
        fs::create_directory(mount.path() / next);
        std::string toml = watched("apply", echo.text(), attempts).toml();
        for (auto at = toml.find("@DIR@"); at != std::string::npos; at = toml.find("@DIR@"))
            toml.replace(at, 5, mount.path().string());
        std::ofstream(mount.path() / next / "penstock.toml") << toml;
        fs::create_symlink(next, mount.path() / "..data_tmp");
        fs::rename(mount.path() / "..data_tmp", mount.path() / "..data");
        if (!old.empty()) fs::remove_all(mount.path() / old);
    };
    publish(3);
    fs::create_symlink("..data/penstock.toml", mount.path() / "penstock.toml");
    // What the constructor writes goes through the links into the first generation.
    ProxyProcess proxy(watched("apply", echo.text()), {.directory = mount.path()});
    for (int attempts = 4; attempts < 8; ++attempts) {
        publish(attempts);
        EXPECT_TRUE(wait_for([&] { return in_force(proxy, attempts); })) << attempts << "\n"
                                                                         << proxy.errors();
    }
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(WatchConfig, apply_sees_included_files_come_change_and_go) {
    EchoServer echo;
    TempDir directory;
    const auto folder = directory.path() / "conf.d";
    std::filesystem::create_directory(folder);
    ProxyProcess proxy("include = [\"conf.d/*.toml\"]\n" + watched("apply", echo.text()).toml(),
                       {.directory = directory.path()});
    const auto write = [&](const std::string& name, const std::string& listener) {
        std::ofstream(directory.path() / "next")
            << "[[listener]]\nname = \"" << listener << "\"\nbind = \"127.0.0.2:0\"\nupstream = "
            << "\"in\"\n";
        std::filesystem::rename(directory.path() / "next", folder / name);
    };
    const auto there = [&](const std::string& listener) {
        return proxy.addresses_now(listener).size() == 1;
    };
    write("a.toml", "one");
    EXPECT_TRUE(wait_for([&] { return there("one"); })) << proxy.errors();
    write("a.toml", "two");
    EXPECT_TRUE(wait_for([&] { return there("two") && !there("one"); })) << proxy.errors();
    write("ignored.txt", "three");
    std::filesystem::remove(folder / "a.toml");
    EXPECT_TRUE(wait_for([&] { return !there("two"); })) << proxy.errors();
    EXPECT_FALSE(there("three"));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(WatchConfig, check_tells_once_what_several_files_change_together) {
    namespace fs = std::filesystem;
    EchoServer echo;
    TempDir directory;
    const auto write = [&](const std::string& version, const std::string& note, int attempts) {
        fs::create_directory(directory.path() / version);
        std::ofstream(directory.path() / version / "a.toml")
            << "[[upstream]]\nname = \"a\"\nbackend = \"127.0.0.1:1\"\nattempts = " << attempts
            << "\n";
        std::ofstream(directory.path() / version / "b.toml")
            << "[[upstream]]\nname = \"b\"\nbackend = \"127.0.0.1:1\"\nattempts = " << attempts
            << "\n# " << note << "\n";
    };
    write("v1", "one", 3);
    write("v2", "two", 5);
    fs::create_symlink("v1", directory.path() / "current");
    ProxyProcess proxy("include = [\"current/a.toml\", \"current/b.toml\"]\n" +
                           watched("check", echo.text()).toml(),
                       {.directory = directory.path()});
    fs::create_symlink("v2", directory.path() / "next");
    fs::rename(directory.path() / "next", directory.path() / "current");
    const std::string told = "changes on disk; apply with";
    ASSERT_TRUE(proxy.says(told)) << proxy.errors();
    // Looked at one after the other: what comes later has seen all that came before.
    std::ofstream(directory.path() / "current" / "a.toml", std::ios::app) << "no_such_key = 1\n";
    ASSERT_TRUE(proxy.says("no_such_key")) << proxy.errors();
    const std::string log = proxy.errors();
    EXPECT_EQ(log.find(told), log.rfind(told)) << log;
}

TEST(WatchConfig, apply_takes_what_was_mended_in_a_file_that_was_not_in_force) {
    EchoServer echo;
    TempDir directory;
    ProxyProcess proxy(watched("apply", echo.text()), {.directory = directory.path()});
    const auto part = directory.path() / "part.toml";
    std::ofstream(part) << "no_such_key = 1\n";
    proxy.rewrite("include = [\"part.toml\"]\n" + watched("apply", echo.text(), 7).toml());
    EXPECT_TRUE(proxy.says("no_such_key"));
    EXPECT_TRUE(in_force(proxy, 3));
    std::ofstream(part) << "# nothing\n";
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); })) << proxy.errors();
}

TEST(WatchConfig, check_tells_what_was_mended_in_a_file_that_is_not_in_force) {
    EchoServer echo;
    TempDir directory;
    ProxyProcess proxy(watched("check", echo.text()), {.directory = directory.path()});
    const auto part = directory.path() / "part.toml";
    std::ofstream(part) << "no_such_key = 1\n";
    proxy.rewrite(watched("check", echo.text(), 5).toml());
    ASSERT_TRUE(proxy.says("on disk; apply with")) << "it looks at its files already";
    proxy.rewrite("include = [\"part.toml\"]\n" + watched("check", echo.text(), 7).toml());
    ASSERT_TRUE(proxy.says("a reload would be refused"));
    std::ofstream(part) << "# nothing\n";
    EXPECT_TRUE(proxy.says(std::string(plan_of(proxy).body.at("digest").as_string())))
        << proxy.errors();
    EXPECT_TRUE(in_force(proxy, 3));
}

TEST(WatchConfig, apply_takes_what_was_mended_in_a_file_whose_address_was_taken) {
    EchoServer echo;
    TempDir directory;
    ProxyProcess proxy(watched("apply", echo.text()), {.directory = directory.path()});
    const auto part = directory.path() / "part.toml";
    UniqueFd occupied = listen_on(Address::parse(own_address(7003)));
    std::ofstream(part) << "[[listener]]\nname = \"more\"\nbind = \"" << own_address(7003)
                        << "\"\nupstream = \"in\"\n";
    proxy.rewrite(watched("apply", echo.text(), 5).toml());
    ASSERT_TRUE(wait_for([&] { return in_force(proxy, 5); })) << "it looks at its files already";
    proxy.rewrite("include = [\"part.toml\"]\n" + watched("apply", echo.text(), 7).toml());
    ASSERT_TRUE(proxy.says("cannot bind")) << proxy.errors();
    std::ofstream(part) << "# nothing\n";
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); })) << proxy.errors();
}

TEST(WatchConfig, apply_loses_no_change_that_comes_during_a_reload) {
    EchoServer echo;
    ConfigText config = watched("apply", echo.text());
    ProxyProcess proxy(config);
    // The reload waits for the verdict of checks that are new: shorter than the watcher's pause.
    const std::string check =
        "\nhealth_check = { type = \"exchange\", exchange = { send = \"a\", expect = \"b\" }, "
        "timeout = \"100ms\" }";
    config.services[0].upstream = "attempts = 7" + check;
    proxy.rewrite(config);
    proxy.signal(SIGHUP);
    ASSERT_TRUE(wait_for([&] { return echo.accepted() > 0; }));
    config.services[0].upstream = "attempts = 8" + check;
    proxy.rewrite(config);
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 8); })) << proxy.errors();
}

TEST(WatchConfig, apply_survives_a_file_that_is_away_for_a_while) {
    EchoServer echo;
    ProxyProcess proxy(watched("apply", echo.text()));
    std::filesystem::remove(proxy.config_file());
    EXPECT_TRUE(wait_for([&] {
        return status_of(proxy).at("last_reload").at("ok") == false ||
               proxy.errors().find("penstock.toml") != std::string::npos;
    })) << "that it is gone is told";
    EXPECT_TRUE(in_force(proxy, 3));
    proxy.rewrite(watched("apply", echo.text(), 7));
    EXPECT_TRUE(wait_for([&] { return in_force(proxy, 7); })) << proxy.errors();
}

}  // namespace
}  // namespace penstock::test
