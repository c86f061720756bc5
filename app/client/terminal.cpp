#include "app/client/terminal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace penstock::app::client {

namespace {

// Other screen, no cursor, no wrapping of long lines; and back.
constexpr std::string_view enter_sequence = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr std::string_view leave_sequence = "\x1b[?7h\x1b[?25h\x1b[?1049l";

}  // namespace

ScreenSize screen_size() noexcept {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        return {};
    return {size.ws_col, size.ws_row};
}

bool wants_colour(bool is_terminal, const char* no_color, const char* term) noexcept {
    const bool forbidden = no_color != nullptr && *no_color != '\0';
    const bool dumb = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
    return is_terminal && !forbidden && !dumb;
}

Canvas standard_output_canvas() {
    const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
    return {.width = is_terminal ? screen_size().columns : 0,
            .colour = wants_colour(is_terminal, std::getenv("NO_COLOR"), std::getenv("TERM"))};
}

bool write_out(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

std::string redraw(const std::vector<std::string>& before, const std::vector<std::string>& now) {
    std::string out;
    for (std::size_t row = 0; row < now.size(); ++row)
        if (row >= before.size() || before[row] != now[row])
            out += fmt::format("\x1b[{};1H{}\x1b[K", row + 1, now[row]);
    if (before.empty() || before.size() > now.size())
        out += fmt::format("\x1b[{};1H\x1b[J", now.size() + 1);
    return out;
}

std::expected<FullScreen, std::string> FullScreen::enter() {
    net::UniqueFd tty(::open("/dev/tty", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    termios before{};
    if (::isatty(STDOUT_FILENO) != 1 || !tty || ::tcgetattr(tty.get(), &before) != 0)
        return std::unexpected(std::string(no_terminal));
    return FullScreen(std::move(tty), before);
}

FullScreen::FullScreen(net::UniqueFd tty, const termios& before)
    : tty_(std::move(tty)), before_(before) {
    termios raw = before;
    // Ctrl-C and Ctrl-Z come as keys: a stopped program would leave its screen behind.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(tty_.get(), TCSANOW, &raw);
    write_out(enter_sequence);
}

FullScreen::FullScreen(FullScreen&& other) noexcept
    : tty_(std::move(other.tty_)), before_(other.before_), shown_(std::move(other.shown_)) {}

FullScreen::~FullScreen() {
    if (!tty_) return;
    write_out(leave_sequence);
    ::tcsetattr(tty_.get(), TCSAFLUSH, &before_);
}

bool FullScreen::draw(std::vector<std::string> lines) {
    const auto text = redraw(shown_, lines);
    shown_ = std::move(lines);
    return write_out(text);
}

}  // namespace penstock::app::client
