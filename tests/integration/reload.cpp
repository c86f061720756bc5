// Reloads, plans, and what an operator is told about them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

/// A configuration whose reload takes a while.
ConfigText with_many_upstreams(const std::string& backend, int count) {
    ConfigText config = one_service({backend});
    for (int i = 0; i < count; ++i) {
        Service service;
        service.name = "s" + std::to_string(i);
        service.bind = "127.0.1." + std::to_string(1 + i % 200) + ":0";
        for (int j = 0; j < 5; ++j)
            service.backends.push_back("10.0." + std::to_string(i % 250) + "." +
                                       std::to_string(1 + j) + ":80");
        config.services.push_back(service);
    }
    return config;
}

TEST(Reload, what_changed_is_in_force_for_new_connections_and_old_ones_go_on) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.services[0].upstream = R"(drain = { wait = "never", close_over = "10s" })";
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    auto old = established(address);
    ASSERT_TRUE(old);
    const std::string toml = config.toml();
    config.services[0].backends = {"name = \"other\"\naddress = \"" + b.text() + "\""};
    // The generated name would come twice in one table.
    std::string changed = config.toml();
    const std::string generated = "name = \"b0\"\n";
    changed.erase(changed.find(generated), generated.size());
    proxy.rewrite(changed);
    const Answer answer = reload_now(proxy);
    ASSERT_EQ(answer.status, 200) << answer.text;
    EXPECT_EQ(answer.body.at("applied"), true) << answer.text;
    EXPECT_EQ(changes_in(answer), (std::multiset<std::string>{"add upstream in backend other",
                                                              "remove upstream in backend b0"}));
    EXPECT_EQ(served_by(address, {&a, &b}), 1U);
    EXPECT_TRUE(ping(*old));
    const auto told = status_of(proxy).at("last_reload");
    EXPECT_EQ(told.at("ok"), true);
    EXPECT_TRUE(told.at("errors").as_array().empty());
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_config_reloads_total{result=\"success\"}"), 1);
    EXPECT_EQ(page.value("penstock_config_reloads_total{result=\"failure\"}"), 0);
    EXPECT_EQ(page.value("penstock_config_last_reload_successful"), 1);
    // And back, the usual way.
    proxy.rewrite(toml);
    EXPECT_TRUE(proxy.reload());
    EXPECT_EQ(served_by(address, {&a, &b}), 0U);
    EXPECT_TRUE(ping(*old));
    bool event = false;
    const auto events = get_json(proxy.admin(), "/api/v1/events");
    for (const auto& entry : events.as_array()) event |= entry.at("kind") == "reload";
    EXPECT_TRUE(event);
}

TEST(Reload, C4_mistakes_are_told_with_their_place_and_change_nothing) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    ProxyProcess proxy(config);
    const std::string before = config_of(proxy);
    config.services[0].backends = {b.text()};  // a good change beside a bad one
    config.services[0].upstream = "conect_timeout = \"1s\"\nattempts = \"many\"";
    proxy.rewrite(config);
    const Answer answer = reload_now(proxy);
    EXPECT_EQ(answer.status, 422) << answer.text;
    EXPECT_FALSE(answer.body.at("error").as_string().empty());
    const std::string errors = errors_in(answer);
    EXPECT_NE(errors.find("conect_timeout"), std::string::npos) << errors;
    EXPECT_NE(errors.find("attempts"), std::string::npos) << errors;
    EXPECT_NE(errors.find("penstock.toml"), std::string::npos) << errors;
    EXPECT_FALSE(proxy.reload());
    EXPECT_EQ(config_of(proxy), before);
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 0U);
    const auto told = status_of(proxy).at("last_reload");
    EXPECT_EQ(told.at("ok"), false);
    EXPECT_NE(text(told.at("errors")).find("conect_timeout"), std::string::npos) << text(told);
    EXPECT_EQ(metrics_of(proxy).value("penstock_config_last_reload_successful"), 0);
    EXPECT_TRUE(proxy.says("conect_timeout")) << "the log says it, too";
    config.services[0].upstream = "";
    EXPECT_TRUE(proxy.change_to(config));
    EXPECT_EQ(metrics_of(proxy).value("penstock_config_last_reload_successful"), 1);
    EXPECT_EQ(status_of(proxy).at("last_reload").at("ok"), true);
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
}

TEST(Reload, a_plan_shows_what_would_change_and_changes_nothing) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.drain = patient_drain;
    ProxyProcess proxy(config);
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const std::string before = config_of(proxy);
    config.process = "workers = 2";
    config.services[0].backends = {a.text(), b.text()};
    config.services[0].upstream = "connect_timeout = \"1s\"";
    config.services.push_back({.name = "more", .bind = "127.0.0.2:0", .backends = {b.text()}});
    proxy.rewrite(config);
    const Answer plan = plan_of(proxy);
    ASSERT_EQ(plan.status, 200) << plan.text;
    EXPECT_EQ(changes_in(plan),
              (std::multiset<std::string>{
                  "add listener more", "add upstream more", "add upstream in backend b1",
                  "change upstream in connect_timeout", "restart process workers"}))
        << plan.text;
    for (const auto& change : plan.body.at("changes").as_array()) {
        if (text(change.at("key")) != "\"connect_timeout\"") continue;
        EXPECT_EQ(change.at("from"), "4s");
        EXPECT_EQ(change.at("to"), "1s");
        EXPECT_FALSE(change.at("effect").as_string().empty());
    }
    EXPECT_EQ(config_of(proxy), before);
    EXPECT_TRUE(proxy.addresses_now("more").empty());
    EXPECT_EQ(metrics_of(proxy).sum("penstock_config_reloads_total"), 0);
    // Who would be touched: its backend leaves.
    config.services[0].backends = {"address = \"" + b.text() + "\""};
    proxy.rewrite(config);
    const Answer leaving = plan_of(proxy);
    EXPECT_EQ(leaving.body.at("sessions").at("draining"), 1) << leaving.text;
    EXPECT_EQ(leaving.body.at("sessions").at("closed_now"), 0) << leaving.text;
    EXPECT_TRUE(ping(*client));
}

TEST(Reload, a_plan_of_a_text_needs_no_file) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"off\"";
    ProxyProcess proxy(config);
    config.services[0].upstream = "attempts = 1";
    const Answer plan = post(proxy, "/api/v1/plan", config.toml());
    EXPECT_EQ(plan.status, 200) << plan.text;
    EXPECT_EQ(changes_in(plan), (std::multiset<std::string>{"change upstream in attempts"}));
    const Answer broken = post(proxy, "/api/v1/plan", "[process]\nworkers = \"none\"\n");
    EXPECT_EQ(broken.status, 422) << broken.text;
    EXPECT_NE(errors_in(broken).find(":2:"), std::string::npos) << errors_in(broken);
    EXPECT_TRUE(changes_in(plan_of(proxy)).empty()) << "the file is what is in force";
}

TEST(Reload, a_plan_of_what_is_in_force_is_empty_whatever_it_looks_like) {
    EchoServer echo;
    ConfigText config = one_service({echo.text(), "127.0.0.9:1"});
    config.services.push_back({.name = "two", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    EXPECT_TRUE(changes_in(plan_of(proxy)).empty());
    std::swap(config.services[0], config.services[1]);
    proxy.rewrite("# a comment\n\n" + config.toml() + "\n# the end\n");
    EXPECT_TRUE(changes_in(plan_of(proxy)).empty()) << plan_of(proxy).text;
    const Answer answer = reload_now(proxy);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(changes_in(answer).empty()) << answer.text;
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Reload, only_what_a_plan_showed_is_applied_with_its_digest) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    config.services[0].upstream = "attempts = 1";
    proxy.rewrite(config);
    const std::string digest(plan_of(proxy).body.at("digest").as_string());
    ASSERT_FALSE(digest.empty());
    config.services[0].upstream = "attempts = 2";
    proxy.rewrite(config);
    const std::string before = config_of(proxy);
    const Answer refused = reload_now(proxy, digest);
    EXPECT_EQ(refused.status, 409) << refused.text;
    EXPECT_FALSE(refused.body.at("error").as_string().empty());
    EXPECT_EQ(config_of(proxy), before);
    const std::string other(plan_of(proxy).body.at("digest").as_string());
    EXPECT_NE(other, digest);
    const Answer applied = reload_now(proxy, other);
    EXPECT_EQ(applied.status, 200) << applied.text;
    EXPECT_NE(config_of(proxy).find("attempts = 2"), std::string::npos);
    EXPECT_EQ(reload_now(proxy, other).status, 409) << "what it was made for is history";
}

TEST(Reload, what_needs_a_new_start_is_told_until_it_is_taken_back) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    config.process = "workers = 2";
    config.services[0].upstream = "attempts = 1";
    ASSERT_TRUE(proxy.change_to(config));
    auto status = status_of(proxy);
    EXPECT_EQ(text(status.at("restart_required")), "[\"process.workers\"]");
    EXPECT_EQ(status.at("workers").as_array().size(), 1U);
    EXPECT_EQ(metrics_of(proxy).value("penstock_config_restart_required"), 1);
    EXPECT_NE(config_of(proxy).find("attempts = 1"), std::string::npos) << "the rest is applied";
    config.process = "workers = 1";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(status_of(proxy).at("restart_required").as_array().empty());
    EXPECT_EQ(metrics_of(proxy).value("penstock_config_restart_required"), 0);
}

TEST(Reload, the_commands_plan_and_reload) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    const std::string admin = "unix:" + (proxy.directory() / "admin.sock").string();
    const auto command = [&](std::vector<std::string> words) {
        words.insert(words.end(), {"--admin", admin});
        return run_penstock(words);
    };
    EXPECT_EQ(command({"plan", "--exit-code"}).exit_status, 0);
    config.services[0].upstream = "attempts = 1";
    const auto candidate = proxy.directory() / "next.toml";
    proxy.rewrite(config);
    std::filesystem::rename(proxy.config_file(), candidate);
    config.services[0].upstream = "";
    proxy.rewrite(config);
    const Finished plan = command({"plan", "-c", candidate.string(), "--exit-code"});
    EXPECT_EQ(plan.exit_status, 4) << plan.errors;
    EXPECT_NE(plan.output.find("attempts"), std::string::npos) << plan.output;
    EXPECT_NE(plan.output.find("3 -> 1"), std::string::npos) << plan.output;
    EXPECT_EQ(command({"plan"}).exit_status, 0) << "the file itself is unchanged";
    std::filesystem::rename(candidate, proxy.config_file());
    EXPECT_EQ(command({"reload", "--expect", "000000"}).exit_status, 1);
    const std::string digest(plan_of(proxy).body.at("digest").as_string());
    const Finished reload = command({"reload", "--expect", digest});
    EXPECT_EQ(reload.exit_status, 0) << reload.errors;
    EXPECT_NE(reload.output.find("attempts"), std::string::npos) << reload.output;
    config.services[0].upstream = "attemps = 1";
    proxy.rewrite(config);
    const Finished broken = command({"reload"});
    EXPECT_EQ(broken.exit_status, 2);
    EXPECT_NE(broken.errors.find("attemps"), std::string::npos) << broken.errors;
}

TEST(Reload, C5_a_flood_of_signals_is_one_or_a_few_reloads_and_the_last_text_wins) {
    EchoServer echo;
    ConfigText config = with_many_upstreams(echo.text(), sized(150));
    ProxyProcess proxy(config);
    constexpr int rounds = 20;
    constexpr int signals = 50;
    for (int i = 1; i <= rounds; ++i) {
        config.services[0].upstream = "attempts = " + std::to_string(i);
        proxy.rewrite(config);
        for (int k = 0; k < signals; ++k) proxy.signal(SIGHUP);
    }
    const std::string last = "attempts = " + std::to_string(rounds);
    EXPECT_TRUE(wait_for([&] { return config_of(proxy).find(last) != std::string::npos; }, 60s));
    const double reloads = metrics_of(proxy).sum("penstock_config_reloads_total");
    EXPECT_GE(reloads, 1);
    EXPECT_LE(reloads, rounds * signals / 10);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Reload, C5_reloads_asked_for_during_a_reload_are_all_answered) {
    EchoServer echo;
    ConfigText config = with_many_upstreams(echo.text(), sized(150));
    ProxyProcess proxy(config);
    config.services[0].upstream = "attempts = 7";
    proxy.rewrite(config);
    std::vector<std::thread> askers;
    std::vector<int> answers(6);
    for (std::size_t i = 0; i < answers.size(); ++i)
        askers.emplace_back([&, i] { answers[i] = reload_now(proxy).status; });
    for (int i = 0; i < 10; ++i) proxy.signal(SIGHUP);
    for (auto& asker : askers) asker.join();
    for (const int status : answers) EXPECT_EQ(status, 200);
    EXPECT_NE(config_of(proxy).find("attempts = 7"), std::string::npos);
}

TEST(Reload, C6_a_listener_is_removed_and_its_connections_go_on) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = patient_drain;
    config.services.push_back({.name = "gone", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    ProxyProcess proxy(config, {.check_counters = false});
    const Address address = proxy.address("gone");
    const std::size_t baseline = descriptor_baseline(proxy);
    auto client = established(address);
    ASSERT_TRUE(client);
    config.services[0].upstream = "attempts = 1";
    const Service service = config.services.back();
    config.services.pop_back();
    // The upstream stays: what a session needs of its listener must live on all the same.
    std::string toml = config.toml();
    toml += "\n[[upstream]]\nname = \"gone\"\nbackend = [{ name = \"b0\", address = \"" +
            echo.text() + "\" }]\n";
    proxy.rewrite(toml);
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(stops_accepting(address));
    EXPECT_TRUE(ping(*client));
    EXPECT_EQ(get_json(proxy.admin(), "/api/v1/listeners").as_array().size(), 1U);
    EXPECT_TRUE(proxy.reload());  // once more, with the listener long gone
    EXPECT_TRUE(ping(*client));
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    const auto lines = proxy.access_log().wait_for_lines(2);
    EXPECT_EQ(std::ranges::count(lines, "gone", &LogLine::listener), 1);
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    EXPECT_TRUE(wait_for([&] { return proxy.descriptors() < baseline; }))
        << "its sockets are closed";
    config.services.push_back(service);
    EXPECT_TRUE(proxy.change_to(config));
    EXPECT_FALSE(proxy.addresses_now("gone").empty());
    EXPECT_TRUE(echo_once(proxy.addresses_now("gone").at(0)));
}

TEST(Reload, C6_the_sessions_of_a_removed_backend_drain_as_configured) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({"address = \"" + a.text() + "\"\nweight = 1",
                                     "address = \"" + b.text() + "\"\nweight = 0"});
    config.services[0].upstream = R"(drain = { wait = "1s", close_over = "200ms" })";
    ProxyProcess proxy(config);
    std::vector<Socket> clients = clients_of(proxy, 4);
    config.services[0].backends.erase(config.services[0].backends.begin());
    // What is left would be called b0 otherwise, and be the same backend with another address.
    std::string toml = config.toml();
    toml.replace(toml.find("name = \"b0\""), 11, "name = \"b1\"");
    toml.replace(toml.find("weight = 0"), 10, "weight = 1");
    const auto start = Clock::now();
    proxy.rewrite(toml);
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    for (Socket& client : clients) EXPECT_NE(client.wait_end(), End::open);
    EXPECT_GE(since(start), 1s);
    const auto lines = expect_lines(proxy, 5);
    EXPECT_EQ(std::ranges::count(lines, "backend_removed", &LogLine::reason), 4);
    EXPECT_TRUE(wait_for([&] { return a.open() == 0; }));
}

TEST(Reload, C6_a_backend_whose_address_changes_is_another_one) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.services[0].upstream = R"(drain = { wait = "never", close_over = "1s" })";
    ProxyProcess proxy(config);
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    config.services[0].backends = {b.text()};
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(ping(*old)) << "wait = never";
    EXPECT_EQ(a.open(), 1U);
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    EXPECT_EQ(backend_of(proxy, "b0").at("address").as_string(), b.text());
}

TEST(Reload, C6_an_upstream_is_removed_with_its_listener) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = patient_drain;
    config.services.push_back({.name = "gone",
                               .bind = "127.0.0.2:0",
                               .backends = {echo.text()},
                               .upstream = R"(drain = { wait = "300ms", close_over = "100ms" })"});
    ProxyProcess proxy(config, {.check_counters = false});
    auto client = established(proxy.address("gone"));
    ASSERT_TRUE(client);
    config.services.pop_back();
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_NE(client->wait_end(), End::open);
    const auto line = expect_lines(proxy, 1).at(0);
    EXPECT_TRUE(line.reason == "backend_removed" || line.reason == "drained") << line.raw;
    EXPECT_EQ(line.upstream, "gone");
    EXPECT_EQ(proxy.admin().get("/api/v1/upstreams/gone").status, 404);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Reload, what_came_through_a_pipe_cannot_be_read_again) {
    EchoServer echo;
    const ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config, {.wrapper = {"sh", "-c", "exec \"$0\" run -c - < \"$3\""}});
    for (const Answer& answer : {reload_now(proxy), plan_of(proxy)}) {
        EXPECT_EQ(answer.status, 409) << answer.text;
        EXPECT_NE(text(answer.body.at("error")).find("pipe"), std::string::npos) << answer.text;
    }
    proxy.signal(SIGHUP);
    EXPECT_TRUE(proxy.says("pipe")) << proxy.errors();
    EXPECT_EQ(status_of(proxy).at("last_reload").at("ok"), true)
        << "nothing has failed that anybody could mend";
    EXPECT_EQ(metrics_of(proxy).sum("penstock_config_reloads_total", {"result=\"failure\""}), 0);
    EXPECT_EQ(post(proxy, "/api/v1/plan", config.toml()).status, 200)
        << "of a text there is a plan";
}

TEST(Reload, C10_the_effective_configuration_is_one_that_changes_nothing) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "idle = \"30m\"", "attempts = 2");
    ProxyProcess proxy(config);
    const std::string effective = config_of(proxy);
    proxy.rewrite(effective);
    EXPECT_TRUE(changes_in(plan_of(proxy)).empty()) << plan_of(proxy).text;
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(config_of(proxy), effective);
    const Finished printed = run_penstock({"check", "--print", "-c", proxy.config_file().string()});
    EXPECT_EQ(printed.exit_status, 0) << printed.errors;
    EXPECT_NE(printed.output.find(effective), std::string::npos)
        << "check --print and the API say the same";
}

TEST(Reload, C11_variables_and_included_files_are_read_anew) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({"${PENSTOCK_TEST_NOT_SET:-" + a.text() + "}"});
    const std::string main = "include = [\"conf.d/*.toml\"]\n" + config.toml();
    TempDir directory;
    std::filesystem::create_directory(directory.path() / "conf.d");
    ProxyProcess proxy(main, {.directory = directory.path()});
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 0U);
    const auto include = [&](const std::string& content) {
        std::ofstream(directory.path() / "conf.d" / "more.toml") << content;
    };
    include(
        "[[listener]]\nname = \"more\"\nbind = \"127.0.0.2:0\"\nupstream = \"more\"\n"
        "[[upstream]]\nname = \"more\"\nbackend = [\"" +
        b.text() + "\"]\n");
    ASSERT_TRUE(proxy.reload());
    ASSERT_EQ(proxy.addresses_now("more").size(), 1U);
    const Address more = proxy.addresses_now("more").at(0);
    EXPECT_EQ(served_by(more, {&a, &b}), 1U);
    include("[[listener]]\nname = \"more\"\nbind = \"${PENSTOCK_TEST_NOT_SET}\"\n");
    const Answer unset = reload_now(proxy);
    EXPECT_EQ(unset.status, 422) << unset.text;
    EXPECT_NE(errors_in(unset).find("PENSTOCK_TEST_NOT_SET"), std::string::npos) << unset.text;
    EXPECT_NE(errors_in(unset).find("more.toml"), std::string::npos) << unset.text;
    EXPECT_EQ(served_by(more, {&a, &b}), 1U) << "what was in force still is";
    std::filesystem::remove(directory.path() / "conf.d" / "more.toml");
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(stops_accepting(more));
}

}  // namespace
}  // namespace penstock::test
