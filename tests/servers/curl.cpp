#include "tests/servers/curl.hpp"

#include "tests/support/child_process.hpp"

namespace penstock::test {

std::string curl(std::vector<std::string> arguments) {
    std::vector<std::string> argv{"curl",     "--disable", "--noproxy",   "*",
                                  "--silent", "--fail",    "--show-error"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_program(argv);
}

}  // namespace penstock::test
