#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <set>
#include <sstream>

#include "tests/servers/curl.hpp"
#include "tests/support/proxy_process.hpp"

/// `penstock demo`, as somebody uses it who has just built the program.
namespace penstock::test {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

class Demo {
public:
    explicit Demo(const std::vector<std::string>& arguments) : child_(command(arguments)) {
        wait_for([this] { return welcomed() || !child_.running(); });
    }

    [[nodiscard]] bool welcomed() const {
        return child_.output().find("Ctrl-C") != std::string::npos;
    }
    [[nodiscard]] std::string output() const { return child_.output(); }
    [[nodiscard]] std::string errors() const { return child_.errors(); }

    /// "http://127.0.0.1:8080/" of the line that tells where the proxy listens; empty without one.
    [[nodiscard]] std::string url() const {
        static const std::string head = "listening demo ";
        for (const std::string& line : lines_of(output()))
            if (line.starts_with(head)) return "http://" + line.substr(head.size()) + "/";
        return {};
    }

    /// The commands that it suggests.
    [[nodiscard]] std::vector<std::string> suggestions() const {
        std::vector<std::string> result;
        for (const std::string& line : lines_of(output()))
            if (line.starts_with("  curl ") || line.starts_with("  for ")) result.push_back(line);
        return result;
    }

    /// Exit status after the signal; -1 if it did not exit by itself.
    int end(int signal) {
        child_.signal(signal);
        const auto status = child_.wait_exit();
        return status && WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
    }

private:
    static std::vector<std::string> command(const std::vector<std::string>& arguments) {
        std::vector<std::string> argv{penstock_binary(), "demo"};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return argv;
    }

    ChildProcess child_;
};

// Names of the backends that answered "NAME answers, number N" to 120 requests, each on a
// connection of its own: one of five is missed by a random choice once in 10^11 runs.
std::set<std::string> who_answers(const std::string& url) {
    std::set<std::string> names;
    for (const std::string& line :
         lines_of(curl({"--header", "Connection: close", url + "?[1-120]"})))
        names.insert(line.substr(0, line.find(' ')));
    return names;
}

TEST(DemoCommand, BalancesOverItsBackendsAndEndsOnInterrupt) {
    Demo demo({"--port", "0", "--admin-port", "0"});
    ASSERT_TRUE(demo.welcomed()) << demo.output() << demo.errors();
    EXPECT_NE(demo.output().find("\nready\n"), std::string::npos) << demo.output();
    EXPECT_EQ(who_answers(demo.url()),
              (std::set<std::string>{"backend-1", "backend-2", "backend-3"}));
    const std::string welcome = demo.output();
    EXPECT_EQ(demo.end(SIGINT), 0);
    EXPECT_EQ(demo.output(), welcome) << "it went on printing";
    EXPECT_EQ(demo.errors(), "");
}

TEST(DemoCommand, NumberOfBackendsIsTheUsersChoice) {
    Demo demo({"--port", "0", "--admin-port", "0", "--backends", "5"});
    ASSERT_TRUE(demo.welcomed()) << demo.output() << demo.errors();
    EXPECT_EQ(who_answers(demo.url()).size(), 5U);
    EXPECT_EQ(demo.end(SIGTERM), 0);
}

TEST(DemoCommand, WhatItSuggestsWorks) {
    Demo demo({"--port", "0", "--admin-port", "0"});
    ASSERT_TRUE(demo.welcomed()) << demo.output() << demo.errors();
    EXPECT_FALSE(demo.suggestions().empty()) << demo.output();
    for (const std::string& command : demo.suggestions()) {
        const std::string answer = run_program({"env", "no_proxy=*", "sh", "-c", command});
        EXPECT_NE(answer.find(" answers"), std::string::npos) << command << "\n" << answer;
    }
    EXPECT_EQ(demo.end(SIGINT), 0);
}

TEST(DemoCommand, TakenPortIsAnErrorThatNamesIt) {
    const UniqueFd taken = listen_on(Address::parse("127.0.0.1:0"));
    const std::string port = std::to_string(Address::local_of(taken.get()).port());
    const Finished finished = run_penstock({"demo", "--port", port, "--admin-port", "0"});
    EXPECT_EQ(finished.exit_status, 1);
    EXPECT_NE(finished.errors.find(port), std::string::npos) << finished.errors;
}

}  // namespace
}  // namespace penstock::test
