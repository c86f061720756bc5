#include "tests/servers/loopback.hpp"

#include <unistd.h>

#include <atomic>

#include <fmt/format.h>

namespace penstock::test {

Address private_address() {
    static std::atomic<unsigned> next_port = 20000;
    // Process ids have at most 22 bits (PID_MAX_LIMIT): second octet 1 to 64.
    const auto pid = static_cast<unsigned>(::getpid());
    return Address::parse(fmt::format("127.{}.{}.{}:{}", 1 + (pid >> 16), (pid >> 8) & 0xff,
                                      pid & 0xff, next_port++));
}

std::string host_of(const Address& address) {
    const std::string text = address.text();
    return text.substr(0, text.rfind(':'));
}

std::string port_of(const Address& address) { return std::to_string(address.port()); }

}  // namespace penstock::test
