#include "health/discovery/address_filter.hpp"

#include <algorithm>

namespace penstock::health {

namespace {

bool is_many(const Endpoint& address) noexcept {
    const auto& bytes = address.ip().bytes();
    if (address.family() == AF_INET6) return bytes[0] == 0xff;
    const bool multicast = (bytes[0] & 0xf0) == 0xe0;
    const bool broadcast = std::all_of(bytes.begin(), bytes.begin() + 4,
                                       [](std::uint8_t byte) { return byte == 0xff; });
    return multicast || broadcast || bytes[0] == 0;
}

}  // namespace

bool AddressFilter::allows(const Endpoint& address) const noexcept {
    if (address.is_unix()) return true;
    if (address.port() == 0 || address.is_any_address() || is_many(address)) return false;
    return std::ranges::none_of(own_, [&](const Endpoint& own) {
        if (own == address) return true;
        return own.is_any_address() && own.port() == address.port() && address.is_loopback();
    });
}

}  // namespace penstock::health
