#pragma once

#include "base/clock.hpp"

namespace penstock {

/// Since the machine's start, the time that it slept included (CLOCK_BOOTTIME). Any thread.
[[nodiscard]] Duration since_boot() noexcept;

}  // namespace penstock
