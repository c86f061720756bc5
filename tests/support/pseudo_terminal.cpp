#include "tests/support/pseudo_terminal.hpp"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <tuple>

namespace penstock::test {

ScreenImage::ScreenImage(std::size_t columns, std::size_t rows) : columns_(columns), rows_(rows) {
    resize(columns, rows);
}

void ScreenImage::resize(std::size_t columns, std::size_t rows) {
    columns_ = columns;
    rows_ = rows;
    cells_.resize(rows);
    for (auto& row : cells_) row.resize(columns, " ");
    row_ = std::min(row_, rows - 1);
    column_ = std::min(column_, columns - 1);
}

void ScreenImage::take(std::string_view bytes) {
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (pending_.empty() && c == '\r') {
            column_ = 0;
        } else if (pending_.empty() && c == '\n') {
            row_ = std::min(row_ + 1, rows_ - 1);
        } else if (pending_.starts_with('\x1b')) {
            pending_ += c;
            if (pending_.size() == 2 && c != '[') pending_.clear();
            if (pending_.size() > 2 && byte >= 0x40 && byte <= 0x7E) {
                sequence(pending_.substr(2, pending_.size() - 3), c);
                pending_.clear();
            }
        } else if (c == '\x1b') {
            pending_ = c;
        } else {
            pending_ += c;
            const auto lead = static_cast<unsigned char>(pending_.front());
            const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            if (pending_.size() == size) put(std::exchange(pending_, {}));
        }
    }
}

void ScreenImage::put(const std::string& character) {
    if (column_ < columns_) cells_[row_][column_++] = character;
}

void ScreenImage::erase_from(std::size_t row, std::size_t column, bool to_end_of_screen) {
    for (std::size_t i = std::min(column, columns_); i < columns_; ++i) cells_[row][i] = " ";
    if (to_end_of_screen)
        for (std::size_t i = row + 1; i < rows_; ++i) cells_[i].assign(columns_, " ");
}

void ScreenImage::sequence(const std::string& parameters, char kind) {
    if (kind == 'H') {
        const auto semicolon = parameters.find(';');
        const auto number = [](const std::string& text) {
            return text.empty() ? 1
                                : std::max<std::size_t>(std::strtoul(text.c_str(), nullptr, 10), 1);
        };
        row_ = std::min(number(parameters.substr(0, semicolon)), rows_) - 1;
        column_ = semicolon == std::string::npos
                      ? 0
                      : std::min(number(parameters.substr(semicolon + 1)), columns_) - 1;
    } else if (kind == 'K') {
        erase_from(row_, column_, false);
    } else if (kind == 'J') {
        const bool all = parameters == "2";
        erase_from(all ? 0 : row_, all ? 0 : column_, true);
    } else if (parameters == "?1049") {
        other_screen_ = kind == 'h';
        erase_from(0, 0, true);
    } else if (parameters == "?25") {
        cursor_visible_ = kind == 'h';
    }
}

std::string ScreenImage::line(std::size_t row) const {
    std::string out;
    for (const auto& cell : cells_.at(row)) out += cell;
    out.erase(out.find_last_not_of(' ') + 1);
    return out;
}

std::string ScreenImage::text() const {
    std::string out;
    for (std::size_t row = 0; row < rows_; ++row) out += line(row) + '\n';
    return out;
}

TerminalProcess::TerminalProcess(const std::vector<std::string>& argv, std::size_t columns,
                                 std::size_t rows)
    : screen_(columns, rows) {
    std::vector<char*> pointers;
    auto words = argv;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    int master = -1;
    int slave = -1;
    if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0)
        throw std::system_error(errno, std::generic_category(), "openpty");
    master_ = UniqueFd(master);
    slave_ = UniqueFd(slave);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(slave, F_SETFD, FD_CLOEXEC);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent || ::setsid() < 0 || ::ioctl(slave, TIOCSCTTY, 0) != 0)
            ::_exit(127);
        for (int fd = 0; fd < 3; ++fd) ::dup2(slave, fd);
        ::execvp(pointers[0], pointers.data());
        ::_exit(127);
    }
}

TerminalProcess::~TerminalProcess() {
    if (!status_) {
        signal(SIGKILL);
        wait_exit();
    }
}

void TerminalProcess::type(std::string_view keys) const {
    std::ignore = ::write(master_.get(), keys.data(), keys.size());
}

void TerminalProcess::signal(int number) const {
    if (!status_) ::kill(pid_, number);
}

void TerminalProcess::resize(std::size_t columns, std::size_t rows) {
    read();
    screen_.resize(columns, rows);
    winsize size{};
    size.ws_col = static_cast<unsigned short>(columns);
    size.ws_row = static_cast<unsigned short>(rows);
    ::ioctl(master_.get(), TIOCSWINSZ, &size);
}

void TerminalProcess::read() {
    char buffer[16384];
    for (;;) {
        const auto n = ::read(master_.get(), buffer, sizeof buffer);
        if (n <= 0) return;
        const std::string_view bytes(buffer, static_cast<std::size_t>(n));
        output_ += bytes;
        screen_.take(bytes);
    }
}

const ScreenImage& TerminalProcess::screen() {
    read();
    return screen_;
}

const std::string& TerminalProcess::output() {
    read();
    return output_;
}

bool TerminalProcess::shows(std::string_view text, milliseconds limit) {
    return wait_for([&] { return screen().text().contains(text); }, limit);
}

termios TerminalProcess::settings() const {
    termios settings{};
    ::tcgetattr(slave_.get(), &settings);
    return settings;
}

std::optional<int> TerminalProcess::wait_exit(milliseconds limit) {
    wait_for(
        [this] {
            read();
            int status = 0;
            if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
            return status_.has_value();
        },
        limit);
    read();
    return status_;
}

}  // namespace penstock::test
