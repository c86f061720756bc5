#include "app/client/report.hpp"

#include <fmt/format.h>

namespace penstock::app::client {

ExitStatus exit_status_of(const ClientError& error) noexcept {
    return error.kind == ClientError::Kind::unreachable ? ExitStatus::unreachable
                                                        : ExitStatus::failure;
}

ExitStatus report(const ClientError& error) {
    fmt::print(stderr, "penstock: {}\n", error.message);
    return exit_status_of(error);
}

}  // namespace penstock::app::client
