#include "tests/support/strace.hpp"

#include <csignal>
#include <fstream>
#include <stdexcept>

namespace penstock::test {

namespace {

std::vector<std::string> command(pid_t target, const std::vector<std::string>& expressions,
                                 const std::filesystem::path& output) {
    std::vector<std::string> argv{"strace",        "-f", "-o",
                                  output.string(), "-p", std::to_string(target)};
    for (const std::string& expression : expressions) argv.insert(argv.end(), {"-e", expression});
    return argv;
}

}  // namespace

Strace::Strace(pid_t target, const std::vector<std::string>& expressions)
    : child_(command(target, expressions, directory_.path() / "trace")) {
    // "strace: Process 123 attached with 4 threads" once every thread is held.
    const bool attached = wait_for([this] {
        return child_.errors().find(" attached") != std::string::npos || !child_.running();
    });
    if (!attached || !child_.running())
        throw std::runtime_error("this test needs strace and ptrace: " + child_.errors());
}

Strace::~Strace() {
    child_.signal(SIGINT);
    child_.wait_exit();
}

std::size_t Strace::calls(const std::string& text) const {
    std::ifstream file(directory_.path() / "trace");
    std::size_t count = 0;
    for (std::string line; std::getline(file, line);) {
        const bool finished = line.find(") = ") != std::string::npos || line.ends_with(">");
        if (finished && line.find(text) != std::string::npos) ++count;
    }
    return count;
}

}  // namespace penstock::test
