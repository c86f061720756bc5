#pragma once

#include <sys/types.h>
#include <termios.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/support/deadline.hpp"
#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// What a terminal shows after it was sent some bytes: text, cursor positions, erasing, the other
/// screen. Colours and unknown sequences change nothing. Characters count one column each.
class ScreenImage {
public:
    ScreenImage(std::size_t columns, std::size_t rows);
    void take(std::string_view bytes);
    /// Forgets nothing, as terminals do; lines beyond the new size are cut.
    void resize(std::size_t columns, std::size_t rows);

    [[nodiscard]] std::string line(std::size_t row) const;  // from 0, without blanks at its end
    [[nodiscard]] std::string text() const;
    [[nodiscard]] bool on_other_screen() const { return other_screen_; }
    [[nodiscard]] bool cursor_visible() const { return cursor_visible_; }

private:
    void sequence(const std::string& parameters, char kind);
    void put(const std::string& character);
    void erase_from(std::size_t row, std::size_t column, bool to_end_of_screen);

    std::size_t columns_;
    std::size_t rows_;
    std::size_t row_ = 0;
    std::size_t column_ = 0;
    std::vector<std::vector<std::string>> cells_;
    std::string pending_;  // of a sequence or character that is not complete
    bool other_screen_ = false;
    bool cursor_visible_ = true;
};

/// A program in a terminal of its own, that it controls. Dies with this object.
class TerminalProcess {
public:
    explicit TerminalProcess(const std::vector<std::string>& argv, std::size_t columns = 100,
                             std::size_t rows = 30);
    TerminalProcess(const TerminalProcess&) = delete;
    TerminalProcess& operator=(const TerminalProcess&) = delete;
    ~TerminalProcess();

    void type(std::string_view keys) const;
    void signal(int number) const;
    void resize(std::size_t columns, std::size_t rows);
    /// Waits until the screen shows `text` somewhere.
    [[nodiscard]] bool shows(std::string_view text, milliseconds limit = patience);
    [[nodiscard]] const ScreenImage& screen();
    /// Everything written to the terminal.
    [[nodiscard]] const std::string& output();
    /// The settings of the terminal's line.
    [[nodiscard]] termios settings() const;
    std::optional<int> wait_exit(milliseconds limit = patience);

private:
    void read();

    UniqueFd master_;
    UniqueFd slave_;  // keeps the terminal alive behind the program's end
    pid_t pid_ = -1;
    std::optional<int> status_;
    std::string output_;
    ScreenImage screen_;
};

}  // namespace penstock::test
