#include "tests/servers/haproxy.hpp"

#include <fmt/format.h>

#include "tests/servers/loopback.hpp"

namespace penstock::test {

namespace {

// Arguments: address and words of the bind line, mode, lines of the frontend, of the backend, and
// of the global section.
constexpr const char* configuration = R"(
global
    nbthread 1
    maxconn 4000
    {4}
defaults
    mode {1}
    timeout connect 20s
    timeout client 60s
    timeout server 60s
frontend clients
    bind {0}
    {2}
    default_backend servers
backend servers
    {3}
)";

}  // namespace

Haproxy::Haproxy(std::string_view server, const HaproxyOptions& options)
    : address_(private_address()) {
    std::string backend = options.backend;
    if (!server.empty()) backend += fmt::format("\n    server one {} {}", server, options.server);
    const std::string file = directory_.write(
        "haproxy.cfg", fmt::format(configuration, address_.text() + " " + options.bind,
                                   options.mode, options.frontend, backend, options.global));
    // -db: in the foreground, one process. SIGUSR1 would wait for connections to end.
    process_.emplace(ServerProcess::Command{.argv = {PENSTOCK_TEST_HAPROXY, "-db", "-f", file},
                                            .accepts_on = address_});
}

}  // namespace penstock::test
