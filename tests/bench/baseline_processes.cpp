// A relay with a process per connection: accept, fork, let the child block in poll(2).
//
//   penstock_baseline_processes LISTEN_PORT BACKEND_PORT
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "tests/bench/baseline.hpp"

using namespace penstock::bench;

int main(int argc, char** argv) {
    const BaselinePorts ports = parse_baseline_ports(argc, argv);
    UniqueFd listener = baseline_listener(ports.listen);
    const pid_t parent = ::getpid();
    for (;;) {
        // Waiting (rather than ignoring SIGCHLD) keeps the children's CPU time in this process'
        // sum.
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return std::perror("accept"), 1;
        }
        if (::fork() != 0) continue;  // the parent, or no child: either way this copy is closed
        listener.close();
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (::getppid() != parent) ::_exit(0);  // it ended before the line above
        UniqueFd backend = baseline_connect(ports.backend);
        if (backend) relay_until_closed(std::move(client), std::move(backend));
        ::_exit(0);
    }
}
