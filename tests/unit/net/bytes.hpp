#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace penstock::net {

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

inline std::string u8(std::size_t value) { return {static_cast<char>(value & 0xff)}; }
inline std::string u16(std::size_t value) { return u8(value >> 8) + u8(value); }

/// `text` behind its length, in so many bytes.
inline std::string counted(std::size_t length_size, std::string_view text) {
    std::string out;
    for (std::size_t i = length_size; i-- > 0;) out += u8(text.size() >> 8 * i);
    return out.append(text);
}

}  // namespace penstock::net
