#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "app/client/table.hpp"
#include "app/client/terminal.hpp"

namespace penstock::app::client {

/// What `penstock top` knows: the latest snapshot and the latest events. Pure; nothing in here
/// reads a clock.
class TopModel {
public:
    /// A snapshot of the stream: status, listeners, upstreams.
    void take_status(boost::json::value snapshot);
    void take_event(boost::json::value event);
    /// The connection is lost, and why. Figures stay, marked as old, until take_status().
    void lose(std::string why);
    /// How many lines of backends are scrolled out at the top.
    void scroll(std::ptrdiff_t lines) noexcept;

    /// A screen of exactly this many rows, or fewer.
    [[nodiscard]] std::vector<std::string> lines(ScreenSize size, bool colour) const;

private:
    void note_restart(const boost::json::value& before, const boost::json::value& now);
    [[nodiscard]] std::vector<std::string> backend_lines(const Canvas& canvas) const;
    [[nodiscard]] std::vector<std::string> event_lines(std::size_t most,
                                                       const Canvas& canvas) const;

    boost::json::value snapshot_;
    std::deque<boost::json::value> events_;   // newest last
    std::string lost_;
    std::size_t scrolled_ = 0;
};

}  // namespace penstock::app::client
