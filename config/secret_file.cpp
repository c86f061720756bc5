#include "config/secret_file.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <poll.h>

#include "base/clock.hpp"
#include "config/source.hpp"

namespace penstock::config {

namespace {

constexpr std::chrono::seconds patience{5};

bool wait_until_readable(int fd, TimePoint deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock().now());
    pollfd entry{fd, POLLIN, 0};
    return left.count() > 0 && ::poll(&entry, 1, static_cast<int>(left.count())) > 0;
}

// Opened without waiting, it says "end" until a writer has come; poll() does not.
std::expected<std::string, std::string> read_fifo(int fd) {
    const TimePoint deadline = SteadyClock().now() + patience;
    auto text = read_to_end(fd, max_source_size, [&] { return wait_until_readable(fd, deadline); });
    if (text) return *std::move(text);
    if (text.error() == ETIMEDOUT)
        return std::unexpected(
            fmt::format("nobody has written to this FIFO within {} s", patience.count()));
    return std::unexpected(describe_read_error(text.error()));
}

}  // namespace

bool is_exposed(const struct stat& info) noexcept {
    // What root owns and hands to a group of its own is how a process that is not root gets a
    // secret at all: `fsGroup` of Kubernetes, `root:penstock` with mode 0640.
    const bool handed = info.st_uid == 0 && info.st_gid != 0;
    return (info.st_mode & (handed ? S_IROTH : S_IRGRP | S_IROTH)) != 0;
}

std::expected<Secret, std::string> read_secret(const std::string& path, Fifo fifo) {
    const auto file = ReadableFile::open(path, fifo);
    if (!file) return std::unexpected(file.error());
    auto text = S_ISFIFO(file->status().st_mode) ? read_fifo(file->fd()) : read_stream(file->fd());
    if (!text) return std::unexpected(std::move(text.error()));
    Secret secret;
    secret.text = *std::move(text);
    secret.exposed = is_exposed(file->status());
    return secret;
}

std::expected<Secret, std::string> read_password(const std::string& path) {
    auto secret = read_secret(path);
    if (!secret) return secret;
    const std::size_t end = std::min(secret->text.size(), secret->text.find_first_of("\r\n"));
    if (end == 0) return std::unexpected("its first line is empty");
    wipe(secret->text.data() + end, secret->text.size() - end);
    secret->text.resize(end);
    return secret;
}

}  // namespace penstock::config
