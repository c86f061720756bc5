#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include <termios.h>

#include "app/client/table.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app::client {

struct ScreenSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
    friend bool operator==(const ScreenSize&, const ScreenSize&) = default;
};

/// Of the terminal behind standard output.
[[nodiscard]] ScreenSize screen_size() noexcept;

/// What standard output is: the width of its terminal, colours unless NO_COLOR or TERM=dumb forbids
/// them; for anything but a terminal no limit and no colours.
[[nodiscard]] Canvas standard_output_canvas();

/// Colours are for terminals whose user has not asked for none (https://no-color.org). Pure.
[[nodiscard]] bool wants_colour(bool is_terminal, const char* no_color, const char* term) noexcept;

/// Writes everything; false if standard output takes no more.
bool write_out(std::string_view text) noexcept;

/// The sequences that turn a screen that shows `before` into one that shows `now`: only lines that
/// differ are written. With `before` empty the whole screen is. Pure.
[[nodiscard]] std::string redraw(const std::vector<std::string>& before,
                                 const std::vector<std::string>& now);

/// The terminal's other screen, while this object lives, with keys read one by one; whatever ends
/// it, the terminal is as it was.
class FullScreen {
public:
    static constexpr std::string_view no_terminal =
        "top needs a terminal; `penstock status` prints the same once, --json for programs";
    /// The error is a sentence for the user: there is no terminal.
    [[nodiscard]] static std::expected<FullScreen, std::string> enter();
    FullScreen(FullScreen&& other) noexcept;
    FullScreen& operator=(FullScreen&&) = delete;
    ~FullScreen();

    /// The keyboard: a description of its own, so that making it non-blocking changes nothing for
    /// others that share the terminal.
    [[nodiscard]] int keys() const noexcept { return tty_.get(); }
    /// Shows these lines; false if the terminal is gone.
    [[nodiscard]] bool draw(std::vector<std::string> lines);
    /// The next draw() writes everything: after a change of size.
    void forget() noexcept { shown_.clear(); }

private:
    FullScreen(net::UniqueFd tty, const termios& before);

    net::UniqueFd tty_;
    termios before_;
    std::vector<std::string> shown_;
};

}  // namespace penstock::app::client
