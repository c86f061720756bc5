#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "net/proxy_protocol/reader.hpp"
#include "net/proxy_protocol/writer.hpp"

/// What must hold for any bytes, whichever version of the PROXY protocol is read.
namespace penstock::fuzz {

namespace pp = net::proxy_protocol;

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fputs(what, stderr);
    std::abort();
}

/// Reads `bytes`, and their beginnings as they would have come: those were incomplete before the
/// header was whole; once invalid stays invalid; what follows a header changes nothing.
inline pp::Reading read_in_pieces(std::span<const std::byte> bytes, pp::Accepts accepts) {
    using Status = pp::Reading::Status;
    constexpr std::size_t most_prefixes = 128;
    const auto whole = pp::read(bytes, accepts);
    require(whole.problem.empty() == (whole.status != Status::invalid), "no problem, or one\n");
    require(whole.length <= bytes.size(), "longer than what came\n");
    require((whole.length > 0) == (whole.status == Status::complete), "a length of nothing\n");
    if (whole.status != Status::complete)
        require(whole.header == pp::Header{}, "a header that is none\n");
    for (std::size_t size = 0; size < std::min(bytes.size(), most_prefixes); ++size) {
        const auto part = pp::read(bytes.first(size), accepts);
        if (whole.status == Status::complete && size < whole.length)
            require(part.status == Status::need_more, "complete or refused too early\n");
        if (whole.status == Status::need_more)
            require(part.status == Status::need_more, "a verdict was taken back\n");
        if (part.status == Status::invalid)
            require(whole.status == Status::invalid, "an invalid beginning became valid\n");
    }
    if (whole.status == Status::complete) {
        const auto alone = pp::read(bytes.first(whole.length), accepts);
        require(alone.status == Status::complete && alone.header == whole.header,
                "what follows the header changes it\n");
    }
    return whole;
}

}  // namespace penstock::fuzz
