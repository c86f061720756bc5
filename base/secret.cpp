#include "base/secret.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace penstock {

namespace {

constexpr std::size_t first_room = 4096;

// A regular file is read without growing.
std::size_t room_for(int fd, std::size_t most) noexcept {
    struct stat status{};
    const bool known = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
    return std::min(known ? static_cast<std::size_t>(status.st_size) : first_room, most) + 1;
}

// std::string would leave the old bytes behind.
void grow(std::string& text, std::size_t used) {
    std::string larger(2 * text.size(), '\0');
    text.copy(larger.data(), used);
    wipe(text);
    text = std::move(larger);
}

}  // namespace

void wipe(std::string& secret) noexcept {
    wipe(secret.data(), secret.size());
    secret.clear();
}

std::expected<std::string, int> read_to_end(int fd, std::size_t most,
                                            const std::function<bool()>& wait) {
    // Never so short that it would be kept inside the object, of which a move leaves a copy.
    std::string text(std::max(room_for(fd, most), sizeof(std::string)), '\0');
    std::size_t used = 0;
    const auto fail = [&text](int error) {
        wipe(text);
        return std::unexpected(error);
    };
    for (;;) {
        if (wait && !wait()) return fail(ETIMEDOUT);
        if (used == text.size()) grow(text, used);
        const auto count = ::read(fd, text.data() + used, text.size() - used);
        if (count < 0 && (errno == EINTR || (errno == EAGAIN && wait))) continue;
        if (count < 0) return fail(errno);
        used += static_cast<std::size_t>(count);
        if (used > most) return fail(EFBIG);
        if (count > 0) continue;
        text.resize(used);
        return text;
    }
}

}  // namespace penstock
