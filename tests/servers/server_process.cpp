#include "tests/servers/server_process.hpp"

#include <cstring>
#include <stdexcept>

namespace penstock::test {

std::vector<std::string> with_privileges(const std::vector<std::string>& options,
                                         const std::vector<std::string>& argv,
                                         const std::string& directory) {
    std::vector<std::string> result{"env", "--chdir=" + directory};
    if (!options.empty()) result.emplace_back("setpriv");
    result.insert(result.end(), options.begin(), options.end());
    result.insert(result.end(), argv.begin(), argv.end());
    return result;
}

ServerProcess::ServerProcess(Command command) : command_(std::move(command)) { start(); }

void ServerProcess::start() {
    // Changing the user clears the signal that tells of the parent's death: set it afterwards.
    std::vector<std::string> argv{"setpriv", "--pdeathsig", ::sigabbrev_np(command_.stop_signal)};
    argv.insert(argv.end(), command_.argv.begin(), command_.argv.end());
    child_.emplace(with_privileges(command_.privileges, argv, command_.directory));
    wait_until_accepting();
}

void ServerProcess::wait_until_accepting() {
    const bool accepts = wait_for(
        [this] { return !child_->running() || Socket::connect(command_.accepts_on).has_value(); });
    if (accepts && child_->running()) return;
    child_->wait_exit(0ms);
    throw std::runtime_error(command_.argv.at(0) + " does not accept on " +
                             command_.accepts_on.text() + ":\n" + child_->errors() +
                             child_->output());
}

ServerProcess::~ServerProcess() {
    child_->signal(command_.stop_signal);
    child_->wait_exit();  // what is left then gets SIGKILL from the child's destructor
}

void ServerProcess::kill() {
    child_->signal(SIGKILL);
    child_->wait_exit();
}

}  // namespace penstock::test
