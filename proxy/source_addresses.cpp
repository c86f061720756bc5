#include "proxy/source_addresses.hpp"

#include <cerrno>

namespace penstock::proxy {

SourceAddresses::SourceAddresses(const std::vector<Endpoint>& addresses, std::size_t start) {
    for (const auto& address : addresses)
        rotations_[address.family() == AF_INET ? 0 : 1].addresses.push_back(address);
    for (auto& [of_family, current] : rotations_)
        if (!of_family.empty()) current = start % of_family.size();
}

const SourceAddresses::Rotation* SourceAddresses::rotation(int family) const noexcept {
    if (family != AF_INET && family != AF_INET6) return nullptr;
    const Rotation& found = rotations_[family == AF_INET ? 0 : 1];
    return found.addresses.empty() ? nullptr : &found;
}

std::size_t SourceAddresses::count(int family) const noexcept {
    const Rotation* found = rotation(family);
    return found == nullptr ? 0 : found->addresses.size();
}

const Endpoint* SourceAddresses::current(int family) const noexcept {
    const Rotation* found = rotation(family);
    return found == nullptr ? nullptr : &found->addresses[found->current];
}

void SourceAddresses::go_on(int family) noexcept {
    Rotation& of_family = rotations_[family == AF_INET ? 0 : 1];
    if (++of_family.current >= of_family.addresses.size()) of_family.current = 0;
}

Result<net::ConnectState> SourceAddresses::start_connect(net::Socket& socket, const Endpoint& to,
                                                         net::Poller& poller,
                                                         metrics::Counter& no_port) noexcept {
    const int family = to.family();
    const std::size_t addresses = count(family);
    for (std::size_t tried = 1;; ++tried) {
        const auto state = net::start_connect(socket, to, poller, current(family));
        if (state || state.error().value() != EADDRNOTAVAIL) return state;
        no_port.add();
        if (addresses != 0) go_on(family);
        if (tried >= addresses) return state;
    }
}

}  // namespace penstock::proxy
