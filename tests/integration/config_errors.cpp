// What the program says about a wrong configuration: exit status 2, every error at once with
// file:line:column, nothing half-started.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/integration/scenario.hpp"

namespace penstock::test {
namespace {

constexpr const char* listener =
    "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\n"
    "upstream = \"up\"\n";
constexpr const char* upstream = "[[upstream]]\nname = \"up\"\n";
constexpr const char* backend = "[[upstream.backend]]\nname = \"a\"\naddress = \"127.0.0.1:9\"\n";

std::string good() { return std::string(listener) + upstream + backend; }

/// The good configuration with lines added to one of its tables.
std::string in_process(const std::string& line) { return "[process]\n" + line + "\n" + good(); }
std::string in_listener(const std::string& line) {
    return std::string(listener) + line + "\n" + upstream + backend;
}
std::string in_upstream(const std::string& line) {
    return std::string(listener) + upstream + line + "\n" + backend;
}
std::string in_backend(const std::string& line) { return good() + line + "\n"; }

struct Outcome {
    Finished run;
    std::string file;
    std::vector<std::string> errors;  // lines of the form file:line:column: error: ...
};

Outcome run_with(const std::string& toml) {
    TempDir directory;
    const auto file = directory.path() / "penstock.toml";
    std::ofstream(file, std::ios::binary) << toml;
    Outcome outcome{run_penstock({"run", "-c", file.string()}), file.string(), {}};
    const std::regex form(R"(^[^\s:][^:]*:\d+:\d+: error: .+)");
    std::istringstream lines(outcome.run.errors);
    for (std::string line; std::getline(lines, line);)
        if (std::regex_match(line, form)) outcome.errors.push_back(line);
    return outcome;
}

/// Refused in the documented way, mentioning `words` in one of the errors.
void expect_refused(const std::string& toml, const std::string& words = "") {
    const Outcome outcome = run_with(toml);
    const std::string shown =
        toml.substr(0, 400) + "\n--- gave ---\n" + outcome.run.errors.substr(0, 3000);
    EXPECT_EQ(outcome.run.exit_status, 2) << shown;
    EXPECT_EQ(sanitizer_report_in(outcome.run.errors), "") << shown;
    EXPECT_EQ(outcome.run.output.find("ready"), std::string::npos) << shown;
    EXPECT_FALSE(outcome.errors.empty()) << shown;
    const bool mentioned = std::ranges::any_of(outcome.errors, [&](const std::string& line) {
        return line.find(words) != std::string::npos;
    });
    EXPECT_TRUE(mentioned) << "no error mentions: " << words << "\n" << shown;
}

TEST(FaultsC, C1_the_configuration_all_rows_are_made_from_is_good) {
    TempDir directory;
    ProxyProcess proxy(good());
    EXPECT_GT(proxy.address().port(), 0);
}

TEST(FaultsC, C1_malformed_toml) {
    expect_refused("[[listener]\n");
    expect_refused("[process\nworkers = 1\n");
    expect_refused("workers 1\n");
    expect_refused("a = \n" + good());
    expect_refused("a = \"unterminated\n" + good());
    expect_refused("a = [1, 2\n");
    expect_refused("a = 1\na = 2\n" + good());
    expect_refused("[process]\n[process]\n" + good());
    expect_refused(std::string("a = \"\0\"\n", 8) + good());
    expect_refused(std::string("\0\0\0\0", 4));
    expect_refused("a = \"\xff\xfe\"\n" + good());
    expect_refused("a = '''\n" + good());
    expect_refused("= 1\n");
    expect_refused("\x01\x02\n");
}

TEST(FaultsC, C1_sizes_that_could_hurt_a_parser) {
    expect_refused("a = " + std::string(10'000, '[') + "\n");
    expect_refused("a = " + std::string(2'000, '[') + std::string(2'000, ']') + "\n" + good());
    std::string tables = "x";
    for (int i = 0; i < 10'000; ++i) tables += ".x";
    expect_refused("[" + tables + "]\n" + good());
    expect_refused("a = \"" + std::string(1 << 20, 'x') + "\"\n" + good());
    expect_refused("");
}

TEST(FaultsC, C1_byte_order_mark_and_line_ends_are_no_error) {
    std::string with_crlf = "\xEF\xBB\xBF";
    for (const char c : good()) {
        if (c == '\n') with_crlf += '\r';
        with_crlf += c;
    }
    ProxyProcess proxy(with_crlf);
    EXPECT_GT(proxy.address().port(), 0);
}

TEST(FaultsC, C1_unknown_keys_and_wrong_types) {
    expect_refused(in_upstream("conect_timeout = \"3s\""), "did you mean 'connect_timeout'?");
    expect_refused(in_listener("maxconn = 5"), "max_connections");
    expect_refused(in_process("wrkers = 2"), "workers");
    expect_refused("[proces]\nworkers = 1\n" + good(), "process");
    expect_refused(in_process("workers = \"many\""), "workers");
    expect_refused(in_process("workers = true"), "workers");
    expect_refused(in_listener("backlog = \"4096\""), "backlog");
    expect_refused(in_listener("on_limit = \"explode\""), "on_limit");
    expect_refused(in_upstream("balance = \"leastconn\""), "least_connections");
    expect_refused(in_upstream("connect_timeout = 3"), "connect_timeout");
    expect_refused("listener = 5\n", "listener");
    expect_refused("[listener]\nname = \"in\"\n", "listener");
}

TEST(FaultsC, C1_position_source_line_and_caret) {
    const std::string toml = in_upstream("conect_timeout = \"3s\"");
    const auto before = std::string_view(toml).substr(0, toml.find("conect"));
    const auto line = 1 + std::ranges::count(before, '\n');
    const Outcome outcome = run_with(toml);
    ASSERT_EQ(outcome.errors.size(), 1U) << outcome.run.errors;
    const std::string place = "penstock.toml:" + std::to_string(line) + ":1: error: ";
    EXPECT_NE(outcome.errors[0].find(place), std::string::npos) << outcome.errors[0];
    EXPECT_NE(outcome.run.errors.find("| conect_timeout = \"3s\"\n"), std::string::npos)
        << outcome.run.errors;
    EXPECT_NE(outcome.run.errors.find("| ^^^^^^^^^^^^^^\n"), std::string::npos)
        << outcome.run.errors;
}

TEST(FaultsC, C1_all_errors_at_once) {
    const Outcome outcome =
        run_with("[process]\nwrkers = 1\n" + std::string(listener) + "backlog = -1\n" + upstream +
                 "attempts = \"x\"\n" + backend + "wieght = 1\n");
    EXPECT_EQ(outcome.run.exit_status, 2);
    EXPECT_EQ(outcome.errors.size(), 4U) << outcome.run.errors;
}

TEST(FaultsC, C2_semantic_errors) {
    expect_refused(std::string(upstream) + backend, "listener");  // none
    expect_refused(good() + listener, "in");                      // the name twice
    expect_refused(good() + upstream + backend, "up");
    expect_refused(good() + backend, "a");
    expect_refused(std::string(listener) + "[[upstream]]\nname = \"other\"\n" + backend, "up");
    expect_refused(in_listener("") + "[[listener]]\nbind = \"127.0.0.1:0\"\n", "name");
    expect_refused("[[listener]]\nname = \"in\"\nupstream = \"\"\n", "bind");
    expect_refused("[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:65536\"\nupstream = \"\"\n",
                   "65536");
    expect_refused("[[listener]]\nname = \"in\"\nbind = \"127.0.0.1\"\nupstream = \"\"\n", "bind");
    expect_refused("[[listener]]\nname = \"in\"\nbind = \"300.0.0.1:80\"\nupstream = \"\"\n");
    expect_refused("[[listener]]\nname = \"in put\"\nbind = \"127.0.0.1:0\"\nupstream = \"\"\n",
                   "name");
    expect_refused(std::string(listener) + upstream + "[[upstream.backend]]\nname = \"a\"\n",
                   "address");
    expect_refused(std::string(listener) + upstream +
                       "[[upstream.backend]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n",
                   "port");
    expect_refused("[access_log]\ntarget = \"off\"\nformat = \"xml\"\n" + good(), "format");
    expect_refused("[access_log]\nevents = [\"click\"]\n" + good(), "events");
    expect_refused("[log]\nlevel = \"loud\"\n" + good(), "level");
}

TEST(FaultsC, C2_two_listeners_on_one_port_do_not_share_it) {
    const ClosedPort port;
    const std::string bind = "bind = \"" + port.address.text() + "\"\nupstream = \"up\"\n";
    expect_refused("[[listener]]\nname = \"one\"\n" + bind + "[[listener]]\nname = \"two\"\n" +
                       bind + upstream + backend,
                   port.address.text());
}

TEST(FaultsC, C2_a_port_in_use_fails_the_start_and_names_the_address) {
    EchoServer other;
    TempDir directory;
    const auto file = directory.path() / "penstock.toml";
    std::ofstream(file) << "[[listener]]\nname = \"in\"\nbind = \"" + other.text() +
                               "\"\nupstream = \"up\"\n" + upstream + backend;
    const Finished run = run_penstock({"run", "-c", file.string()});
    EXPECT_EQ(run.exit_status, 1) << run.errors;
    EXPECT_NE(run.errors.find(other.text()), std::string::npos) << run.errors;
}

TEST(FaultsC, C2_a_second_penstock_on_the_same_port_fails) {
    ProxyProcess first(good());
    TempDir directory;
    const auto file = directory.path() / "penstock.toml";
    std::ofstream(file) << "[[listener]]\nname = \"in\"\nbind = \"" + first.address().text() +
                               "\"\nupstream = \"up\"\n" + upstream + backend;
    const Finished run = run_penstock({"run", "-c", file.string()});
    EXPECT_EQ(run.exit_status, 1) << run.errors;
    EXPECT_NE(run.errors.find(first.address().text()), std::string::npos) << run.errors;
}

TEST(FaultsC, C2_files_that_cannot_be_read) {
    TempDir directory;
    for (const auto& file : {directory.path() / "missing.toml", directory.path()}) {
        const Finished run = run_penstock({"run", "-c", file.string()});
        EXPECT_EQ(run.exit_status, 2) << run.errors;
        EXPECT_NE(run.errors.find(file.string()), std::string::npos) << run.errors;
    }
}

TEST(FaultsC, C2_token_files_that_keep_nobody_out) {
    TempDir directory;
    const auto token = directory.write("admin.token", "secret\n");
    const auto file = directory.write(
        "penstock.toml",
        "[[admin.listener]]\nbind = \"127.0.0.1:0\"\ntoken_file = \"" + token + "\"\n" + good());
    for (const char* command : {"run", "check"}) {
        const Finished run = run_penstock({command, "-c", file});
        EXPECT_EQ(run.exit_status, 2) << run.errors;
        EXPECT_NE(run.errors.find(token + ": error: 'token_file' in [[admin.listener]]: "),
                  std::string::npos)
            << run.errors;
        EXPECT_EQ(run.errors.find("secret"), std::string::npos) << run.errors;
        EXPECT_EQ(run.output.find("ready"), std::string::npos) << run.output;
    }
    expect_refused("[[admin.listener]]\nbind = \"127.0.0.1:0\"\n" + good(), "token_file");
}

TEST(FaultsC, C3_numeric_edges) {
    for (const char* value :
         {"\"-1s\"", "\"1d\"", "\"1e18s\"", "\"99999999999999999999s\"", "\"s\"", "\"\"", "\"1 s\"",
          "\"nan\"", "-1", "1e18", "\"never\"", "\"0s\""})
        expect_refused(in_upstream(std::string("connect_timeout = ") + value), "connect_timeout");
    for (const char* value : {"-1", "65536", "4294967296", "9223372036854775807", "1.5", "\"1\""})
        expect_refused(in_backend(std::string("weight = ") + value), "weight");
    for (const char* value : {"0", "-1", "4294967296", "100000000"})
        expect_refused(in_process(std::string("workers = ") + value), "workers");
    for (const char* value : {"-1", "0.5", "1.1e30"})
        expect_refused(in_listener(std::string("max_connections = ") + value), "max_connections");
    for (const char* value : {"-0.1", "1.1", "nan", "inf"})
        expect_refused(in_listener(std::string("[listener.timeouts]\nlifetime_jitter = ") + value),
                       "lifetime_jitter");
    for (const char* value : {"0", "-5", "2147483648"})
        expect_refused(in_upstream(std::string("attempts = ") + value), "attempts");
    // Beyond 64 bit the TOML reader itself has to refuse.
    expect_refused(in_process("workers = 99999999999999999999"));
}

/// As users pipe a configuration: `command` of the shell, where `"$@"` is the program.
Finished check_by_shell(const std::string& command, const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"check"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_penstock(all, patience, {"bash", "-c", command, "bash"});
}

TEST(Check, reads_standard_input_and_what_the_shell_pipes) {
    TempDir directory;
    const auto file = directory.write("penstock.toml", good());
    const auto wrong = directory.write("wrong.toml", in_process("workers = 0"));
    const auto expect = [](const Finished& run, int status, const std::string& words) {
        EXPECT_EQ(run.exit_status, status) << run.errors;
        EXPECT_NE((run.output + run.errors).find(words), std::string::npos)
            << run.output << run.errors;
    };
    expect(check_by_shell("cat " + file + " | \"$@\"", {"-c", "-"}), 0, "1 listener");
    expect(check_by_shell("\"$@\" < " + file, {"-c", "-"}), 0, "1 listener");
    expect(check_by_shell("cat " + file + " | \"$@\"", {"-c", "/dev/stdin"}), 0, "1 listener");
    expect(check_by_shell("\"$@\" -c <(cat " + file + ")", {}), 0, "1 listener");
    expect(check_by_shell("\"$@\" -c <(cat " + wrong + ")", {}), 2, ":2:11: error: 'workers'");
    expect(check_by_shell("\"$@\" -c -", {}), 2, "there is no [[listener]]");
}

TEST(FaultsC, C8_what_is_no_file_is_refused_at_once) {
    TempDir directory;
    const auto fifo = directory.path("fifo");
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    for (const auto& path : {fifo, directory.path().string(), std::string("/dev/zero")})
        for (const char* command : {"run", "check"}) {
            const Finished run = run_penstock({command, "-c", path});
            EXPECT_EQ(run.exit_status, 2) << run.errors;
            EXPECT_TRUE(run.errors.starts_with(path + ": error: is ")) << run.errors;
        }
}

TEST(FaultsC, C3_edges_that_are_allowed) {
    ProxyProcess proxy(in_backend("weight = 65535") +
                       "[[upstream.backend]]\nname = \"b\"\naddress = \"127.0.0.1:10\"\n"
                       "weight = 0\n");
    EXPECT_GT(proxy.address().port(), 0);
    ProxyProcess timeouts(
        in_listener("[listener.timeouts]\nidle = \"never\"\nlifetime = \"1ms\"\n"
                    "half_closed = \"never\"\nlifetime_jitter = 0\n"));
    EXPECT_GT(timeouts.address().port(), 0);
}

TEST(FaultsC, command_line_errors_have_status_2) {
    EXPECT_EQ(run_penstock({"run", "--no-such-option"}).exit_status, 2);
    EXPECT_EQ(run_penstock({"no-such-command"}).exit_status, 2);
    EXPECT_EQ(run_penstock({"run", "-c"}).exit_status, 2);
    EXPECT_EQ(run_penstock({"--help"}).exit_status, 0);
    EXPECT_EQ(run_penstock({"run", "--help"}).exit_status, 0);
}

}  // namespace
}  // namespace penstock::test
