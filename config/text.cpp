#include "config/text.hpp"

#include <cstdint>

namespace penstock::config {

namespace {

struct Decoded {
    std::size_t size;
    char32_t value;  // 0xFFFFFFFF: not UTF-8
};

constexpr char32_t broken = 0xFFFFFFFF;

/// RFC 3629: shortest form only, no surrogates, nothing above U+10FFFF.
Decoded decode(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) return {1, lead};
    std::size_t size = 0;
    char32_t value = 0;
    char32_t smallest = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        size = 2, value = lead & 0x1FU, smallest = 0x80;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        size = 3, value = lead & 0x0FU, smallest = 0x800;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        size = 4, value = lead & 0x07U, smallest = 0x10000;
    } else {
        return {1, broken};
    }
    if (text.size() < size) return {1, broken};
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) return {1, broken};
        value = (value << 6U) | (byte(i) & 0x3FU);
    }
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (value < smallest || surrogate || value > 0x10FFFF) return {1, broken};
    return {size, value};
}

}  // namespace

std::size_t character_size(std::string_view text) noexcept {
    return text.empty() ? 0 : decode(text).size;
}

bool is_printable(std::string_view character) noexcept {
    if (character.empty()) return false;
    const auto value = decode(character).value;
    if (value < 0x20 || (value >= 0x7F && value < 0xA0) || value == broken) return false;
    const bool bidirectional = (value >= 0x202A && value <= 0x202E) ||
                               (value >= 0x2066 && value <= 0x2069) || value == 0x200E ||
                               value == 0x200F;
    return !bidirectional;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const auto [size, value] = decode(text);
        if (value == broken) return false;
        text.remove_prefix(size);
    }
    return true;
}

std::size_t byte_offset(std::string_view text, std::size_t column) noexcept {
    std::size_t offset = 0;
    for (std::size_t at = 1; at < column && offset < text.size(); ++at)
        offset += character_size(text.substr(offset));
    return offset;
}

std::size_t count_characters(std::string_view text) noexcept {
    std::size_t count = 0;
    for (; !text.empty(); text.remove_prefix(character_size(text))) ++count;
    return count;
}

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto character = text.substr(0, character_size(text));
        if (is_printable(character))
            out += character;
        else
            out += character == "\t" ? ' ' : '?';
        text.remove_prefix(character.size());
    }
    return out;
}

}  // namespace penstock::config
