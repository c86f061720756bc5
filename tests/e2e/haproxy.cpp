#include "tests/e2e/haproxy.hpp"

#include "tests/e2e/loopback.hpp"

namespace penstock::test {

namespace {

constexpr const char* common = R"(
global
    maxconn 200
defaults
    timeout connect 20s
    timeout client 60s
    timeout server 60s
)";

}  // namespace

Haproxy::Haproxy(std::string sections) : address_(private_address()) {
    static const std::string mark = "@BIND@";
    for (auto at = sections.find(mark); at != std::string::npos; at = sections.find(mark))
        sections.replace(at, mark.size(), address_.text());
    const std::string file = directory_.write("haproxy.cfg", common + sections);
    process_.emplace(ServerProcess::Command{.argv = {PENSTOCK_TEST_HAPROXY, "-db", "-f", file},
                                            .accepts_on = address_});
}

}  // namespace penstock::test
