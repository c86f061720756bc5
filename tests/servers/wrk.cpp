#include "tests/servers/wrk.hpp"

#include <regex>
#include <stdexcept>

#include "tests/support/child_process.hpp"

namespace penstock::test {

std::vector<std::string> wrk_command(const Address& target, unsigned connections, unsigned seconds,
                                     HttpConnections kind) {
    std::vector<std::string> argv{
        "wrk", "--threads=1", "--connections=" + std::to_string(connections),
        "--duration=" + std::to_string(seconds) + "s",
        "--timeout=" + std::to_string(scaled(patience).count() / 1000) + "s"};
    if (kind == HttpConnections::one_per_request)
        argv.insert(argv.end(), {"--header", "Connection: close"});
    argv.push_back("http://" + target.text() + "/");
    return argv;
}

WrkReport parse_wrk(const std::string& output) {
    static const std::regex requests(R"((\d+) requests in )");
    static const std::regex socket_errors(
        R"(Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+))");
    static const std::regex bad_status(R"(Non-2xx or 3xx responses: (\d+))");
    WrkReport report;
    report.output = output;
    std::smatch found;
    if (!std::regex_search(output, found, requests))
        throw std::runtime_error("not a report of wrk: " + output);
    report.requests = std::stoull(found[1]);
    if (std::regex_search(output, found, socket_errors)) {
        report.connect_errors = std::stoull(found[1]);
        report.read_errors = std::stoull(found[2]);
        report.write_errors = std::stoull(found[3]);
        report.timeouts = std::stoull(found[4]);
    }
    if (std::regex_search(output, found, bad_status)) report.bad_status = std::stoull(found[1]);
    return report;
}

WrkReport run_wrk(const Address& target, unsigned connections, unsigned seconds,
                  HttpConnections kind) {
    return parse_wrk(run_program(wrk_command(target, connections, seconds, kind), 60s));
}

}  // namespace penstock::test
