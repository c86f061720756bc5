// A backend in a process of its own, for tests that kill one: prints its address, then echoes until
// it is killed or its standard output is closed.
#include <cstdio>

#include "tests/support/echo_server.hpp"

int main() {
    using namespace penstock::test;
    EchoLoop loop(listen_on(Address::parse("127.0.0.1:0"), 4096));
    std::printf("%s\n", loop.address().text().c_str());
    std::fflush(stdout);
    const std::atomic<bool> never = false;
    loop.run(never);
}
