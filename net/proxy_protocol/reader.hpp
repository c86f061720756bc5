#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "net/proxy_protocol/header.hpp"

namespace penstock::net::proxy_protocol {

/// Longest header that is accepted; a v1 header is at most 107 bytes by its specification.
inline constexpr std::size_t longest_v1 = 107;
inline constexpr std::size_t longest_v2 = 4096;

/// Which versions a listener takes.
struct Accepts {
    bool v1 = true;
    bool v2 = true;
};

struct Reading {
    enum class Status : std::uint8_t { need_more, complete, invalid };
    Status status = Status::need_more;
    Version version = Version::v1;
    std::size_t length = 0;  // complete: the header's bytes; what follows is the client's
    std::string_view problem{};  // invalid: why, in words, a literal
    Header header{};
};

/// Reads the header at the start of `bytes`, which is all that has come so far. Strict: what the
/// specification does not allow is invalid, as early as it can be told. Pure; allocates for TLVs
/// alone, once the header is complete.
[[nodiscard]] Reading read(std::span<const std::byte> bytes, Accepts accepts);

}  // namespace penstock::net::proxy_protocol
