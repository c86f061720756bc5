#include <exception>

#include <fmt/format.h>

#include "app/command_line.hpp"
#include "app/process.hpp"
#include "net/tls/context.hpp"

int main(int argc, char** argv) {
    using namespace penstock::app;
    // First: nothing of how it was started may have changed.
    const auto program = upgrade::own_program(argc, argv);
    fill_standard_streams();
    ignore_stray_signals();
    penstock::net::tls::ignore_openssl_conf();  // before any library uses OpenSSL
    try {
        return static_cast<int>(run_command_line(argc, argv, program));
    } catch (const std::exception& e) {
        fmt::print(stderr, "penstock: {}\n", e.what());
        return static_cast<int>(ExitStatus::failure);
    }
}
