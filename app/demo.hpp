#pragma once

#include <cstdint>

#include "app/exit_status.hpp"

namespace penstock::app {

struct DemoOptions {
    std::uint16_t port = 8080;  // 0 = any free one
    std::uint16_t admin_port = 9901;
    unsigned backends = 3;
};

/// `penstock demo`: small HTTP backends inside this process and a proxy in front of them.
ExitStatus demo(const DemoOptions& options);

}  // namespace penstock::app
