#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/log.hpp"
#include "tests/support/deadline.hpp"

/// What tests of the control thread's parts have in common.
namespace penstock::test {

/// A log that keeps its lines.
struct Recorder final : Logger {
    [[nodiscard]] bool enabled(LogLevel) const noexcept override { return true; }
    void write(LogLevel, std::string_view message) override { lines.emplace_back(message); }
    [[nodiscard]] std::ptrdiff_t count(std::string_view part) const {
        return std::ranges::count_if(lines,
                                     [part](const auto& line) { return line.contains(part); });
    }
    [[nodiscard]] bool says(std::string_view part) const { return count(part) != 0; }
    std::vector<std::string> lines;
};

/// Runs the loop until `holds`; false when the time was over before.
template <typename Condition>
bool run_until(boost::asio::io_context& context, Condition holds, milliseconds limit = patience) {
    const auto end = Clock::now() + scaled(limit);
    while (!holds()) {
        if (Clock::now() >= end) return holds();
        context.restart();
        context.run_one_for(milliseconds(10));
    }
    return true;
}

}  // namespace penstock::test
