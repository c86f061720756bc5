#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "base/endpoint.hpp"

namespace penstock::config {

/// Where a listener listens: an address, or a socket that whoever started the process has opened.
struct Bind {
    Bind() = default;
    // Implicit: nearly all are addresses.
    Bind(Endpoint where) : address(std::move(where)) {}
    /// `fd:3` or `systemd:NAME`; the error is a sentence for the user, without the text itself.
    static std::expected<Bind, std::string> parse_inherited(std::string_view text);
    /// Whether parse_inherited() is for it.
    static bool looks_inherited(std::string_view text) noexcept;

    [[nodiscard]] bool inherited() const noexcept { return fd >= 0 || !systemd.empty(); }
    /// As in a file: `0.0.0.0:80`, `fd:3`, `systemd:NAME`.
    [[nodiscard]] std::string to_string() const;
    bool operator==(const Bind&) const = default;

    Endpoint address{};  // empty if inherited: known only once the socket is there
    int fd = -1;  // of `fd:3`
    std::string systemd{};  // of `systemd:NAME`: what the socket is called in LISTEN_FDNAMES
};

}  // namespace penstock::config
