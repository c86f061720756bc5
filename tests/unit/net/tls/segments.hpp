#pragma once

#include <cstdint>

namespace penstock::net::tls {

struct Segments {
    std::uint32_t all = 0;
    std::uint32_t with_data = 0;
};

/// What TCP has sent on a socket so far.
[[nodiscard]] Segments segments_sent(int fd);

}  // namespace penstock::net::tls
