#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "tests/servers/loopback.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/proxy_process.hpp"

/// `penstock check`, and `penstock run` on what it prints.
namespace penstock::test {
namespace {

// Runs `penstock check` with `file` as standard input.
Finished check_standard_input(const std::string& file, std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"check", "-c", "-"});
    static const std::string script = R"(file=$1; shift; exec "$@" <"$file")";
    return run_penstock(options, patience, {"sh", "-c", script, "sh", file});
}

class CheckCommand : public ::testing::Test {
protected:
    [[nodiscard]] std::string file(const std::string& name) const {
        return (directory_.path() / name).string();
    }
    void write(const std::string& name, const std::string& content) const {
        std::ofstream(file(name)) << content;
    }

    // A listener of each kind, on addresses that are the same in every run of the proxy.
    [[nodiscard]] ConfigText config() const {
        ConfigText config;
        config.access_log = "target = \"off\"";
        config.services = {{.name = "tcp",
                            .bind = tcp_.text(),
                            .backends = {echo_.text(), unix_echo_.text()},
                            .balance = "least_connections",
                            .timeouts = "idle = \"90s\""},
                           {.name = "local",
                            .bind = "unix:" + file("in.sock"),
                            .backends = {"address = \"" + echo_.text() + "\"\nweight = 7"}}};
        return config;
    }

    TempDir directory_;
    EchoServer echo_;
    EchoServer unix_echo_{"unix:" + file("echo.sock")};
    Address tcp_ = private_address();
};

// Runs the proxy on this configuration: what it says about its listeners, after each has echoed.
std::string listening_lines(const std::string& toml) {
    ProxyProcess proxy(toml);
    for (const char* name : {"tcp", "local"}) {
        auto client = Socket::connect(proxy.address(name));
        EXPECT_TRUE(client && client->send("hello") && client->receive_text(5) == "hello") << name;
    }
    return proxy.child().output();
}

TEST_F(CheckCommand, PrintedConfigurationRunsTheSame) {
    write("in.toml", config().toml());
    const Finished printed = run_penstock({"check", "-c", file("in.toml"), "--print"});
    ASSERT_EQ(printed.exit_status, 0) << printed.errors;
    EXPECT_NE(printed.output, config().toml());
    EXPECT_NE(printed.output.find("connect_timeout = \"4s\""), std::string::npos)
        << "a default is missing: " << printed.output;

    const std::string original = listening_lines(config().toml());
    EXPECT_NE(original.find("listening tcp " + tcp_.text() + "\n"), std::string::npos) << original;
    EXPECT_EQ(listening_lines(printed.output), original);

    write("printed.toml", printed.output);
    const Finished again = run_penstock({"check", "-c", file("printed.toml"), "--print"});
    EXPECT_EQ(again.exit_status, 0) << again.errors;
    EXPECT_EQ(again.output, printed.output);
}

TEST_F(CheckCommand, StandardInputIsAFileLikeOthers) {
    write("in.toml", config().toml());
    const Finished from_file = run_penstock({"check", "-c", file("in.toml")});
    const Finished from_input = check_standard_input(file("in.toml"));
    EXPECT_EQ(from_input.exit_status, 0) << from_input.errors;
    EXPECT_EQ(from_input.output, from_file.output);
    EXPECT_NE(from_input.output.find("2 listeners, 2 upstreams, 3 backends"), std::string::npos)
        << from_input.output;
    const Finished printed = check_standard_input(file("in.toml"), {"--print"});
    EXPECT_EQ(printed.exit_status, 0) << printed.errors;
    EXPECT_EQ(printed.output, run_penstock({"check", "-c", file("in.toml"), "--print"}).output);
}

TEST_F(CheckCommand, ErrorsOnStandardInputHaveTheirPlace) {
    ConfigText broken = config();
    broken.services[0].upstream = "conect_timeout = \"3s\"";
    write("in.toml", broken.toml());
    const Finished finished = check_standard_input(file("in.toml"));
    EXPECT_EQ(finished.exit_status, 2);
    std::istringstream text(broken.toml());
    int number = 1;
    for (std::string line; std::getline(text, line) && line != broken.services[0].upstream;)
        ++number;
    const std::string where = ":" + std::to_string(number) + ":1: error: ";
    EXPECT_NE(finished.errors.find(where), std::string::npos) << finished.errors;
    EXPECT_NE(finished.errors.find("did you mean 'connect_timeout'?"), std::string::npos)
        << finished.errors;
    // And `run` refuses the same file for the same reason, before it listens anywhere.
    const Finished run = run_penstock({"run", "-c", file("in.toml")});
    EXPECT_EQ(run.exit_status, 2);
    EXPECT_EQ(run.output, "");
    EXPECT_NE(run.errors.find(where), std::string::npos) << run.errors;
}

boost::json::object check_as_json(const std::string& file, int exit_status,
                                  const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"check", "--json", "-c", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = run_penstock(arguments);
    EXPECT_EQ(finished.exit_status, exit_status) << finished.errors;
    EXPECT_EQ(finished.errors, "");
    EXPECT_EQ(std::ranges::count(finished.output, '\n'), 1) << finished.output;
    return boost::json::parse(finished.output).as_object();
}

TEST_F(CheckCommand, JsonHasTheSummary) {
    write("in.toml", config().toml());
    const auto result = check_as_json(file("in.toml"), 0);
    EXPECT_EQ(result.at("ok"), true);
    EXPECT_TRUE(result.at("diagnostics").as_array().empty());
    EXPECT_EQ(result.at("listeners"), 2);
    EXPECT_EQ(result.at("upstreams"), 2);
    EXPECT_EQ(result.at("backends"), 3);
    EXPECT_EQ(result.at("workers"), 1);
    EXPECT_GT(result.at("connections_limit").to_number<int>(), 0);
    EXPECT_FALSE(result.at("connections_limit_cause").as_string().empty());
}

TEST_F(CheckCommand, JsonHasTheErrorsWithTheirPlace) {
    ConfigText broken = config();
    broken.process = "wrokers = 1";
    write("in.toml", broken.toml());
    const auto result = check_as_json(file("in.toml"), 2);
    EXPECT_EQ(result.at("ok"), false);
    EXPECT_FALSE(result.contains("listeners"));
    ASSERT_EQ(result.at("diagnostics").as_array().size(), 1U);
    const auto& error = result.at("diagnostics").as_array()[0].as_object();
    EXPECT_EQ(error.at("severity"), "error");
    EXPECT_EQ(error.at("file").as_string(), file("in.toml"));
    EXPECT_EQ(error.at("line"), 2);
    EXPECT_EQ(error.at("column"), 1);
    EXPECT_NE(error.at("message").as_string().find("did you mean 'workers'?"), std::string::npos);
}

TEST_F(CheckCommand, StrictFailsOnWarnings) {
    ConfigText doubtful = config();
    doubtful.services[1].backends = {"address = \"" + echo_.text() + "\"\nweight = 0"};
    write("in.toml", doubtful.toml());
    const Finished lenient = run_penstock({"check", "-c", file("in.toml")});
    EXPECT_EQ(lenient.exit_status, 0);
    EXPECT_NE(lenient.errors.find("warning: "), std::string::npos) << lenient.errors;
    const Finished strict = run_penstock({"check", "--strict", "-c", file("in.toml")});
    EXPECT_EQ(strict.exit_status, 2);
    EXPECT_EQ(strict.errors, lenient.errors);
    EXPECT_EQ(check_as_json(file("in.toml"), 0).at("ok"), true);
    EXPECT_EQ(check_as_json(file("in.toml"), 2, {"--strict"}).at("ok"), false);
    write("good.toml", config().toml());
    EXPECT_EQ(run_penstock({"check", "--strict", "-c", file("good.toml")}).exit_status, 0);
}

TEST(VersionCommand, TellsVersionCompilerLibrariesAndFeatures) {
    const Finished finished = run_penstock({"version"});
    EXPECT_EQ(finished.exit_status, 0);
    EXPECT_EQ(finished.errors, "");
    std::istringstream lines(finished.output);
    for (const char* head : {"penstock ", "compiler ", "libraries ", "features "}) {
        std::string line;
        std::getline(lines, line);
        EXPECT_TRUE(line.starts_with(head)) << line;
        EXPECT_GT(line.size(), std::string_view(head).size()) << line;
    }
}

}  // namespace
}  // namespace penstock::test
