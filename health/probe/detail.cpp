#include "health/probe/detail.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace penstock::health {

namespace {

constexpr std::string_view cut_sign = "...";

bool is_printable(char c) noexcept { return c >= 0x20 && c < 0x7f; }

std::string escape(char c) {
    switch (c) {
        case '\n': return "\\n";
        case '\r': return "\\r";
        case '\t': return "\\t";
        case '"': return "\\\"";
        case '\\': return "\\\\";
        default: break;
    }
    if (is_printable(c)) return {c};
    return fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
}

// Words of libraries and of the system; what servers send was escaped before.
std::string tidy(std::string_view detail) {
    std::string text(detail.substr(0, max_detail));
    std::ranges::replace_if(text, [](char c) { return !is_printable(c); }, ' ');
    if (detail.size() > max_detail)
        text.replace(max_detail - cut_sign.size(), cut_sign.size(), cut_sign);
    return text;
}

}  // namespace

std::string escaped(std::string_view bytes, std::size_t limit) {
    std::string text;
    std::size_t end_with_room = 0;  // where the sign can still follow
    for (const char c : bytes) {
        const std::string piece = escape(c);
        if (text.size() + piece.size() > limit) {
            text.resize(end_with_room);
            return text.append(cut_sign.substr(0, limit - end_with_room));
        }
        text += piece;
        if (text.size() + cut_sign.size() <= limit) end_with_room = text.size();
    }
    return text;
}

std::string quoted(std::string_view bytes, std::size_t limit) {
    return '"' + escaped(bytes, limit) + '"';
}

ProbeResult failure(std::string_view detail, Role role) {
    return {.ok = false, .role = role, .detail = tidy(detail.empty() ? "failed" : detail)};
}

ProbeResult success(std::string_view detail, Role role) {
    return {.ok = true, .role = role, .detail = tidy(detail)};
}

std::string in_words(Duration duration) {
    const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
    if (milliseconds % 1000 == 0) return fmt::format("{} s", milliseconds / 1000);
    if (milliseconds < 1000) return fmt::format("{} ms", milliseconds);
    return fmt::format("{:g} s", static_cast<double>(milliseconds) / 1000);
}

}  // namespace penstock::health
