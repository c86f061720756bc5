#include "proxy/source_addresses.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace penstock::proxy {

void SourceAddresses::use(const std::vector<Endpoint>& addresses) {
    rotations_ = {};
    for (const auto& address : addresses)
        rotations_[address.family() == AF_INET ? 0 : 1].sources.push_back(
            {address, place_of(address)});
    for (auto& [sources, current] : rotations_)
        if (!sources.empty()) current = worker_ % sources.size();
}

// Beyond what a place can tell, connections are made and not counted.
SourceAddresses::Place SourceAddresses::place_of(const Endpoint& address) {
    const auto found = std::ranges::find(known_, address, &Known::address);
    if (found != known_.end()) return static_cast<Place>(found - known_.begin() + 1);
    if (known_.size() >= std::numeric_limits<Place>::max()) return nowhere;
    known_.push_back({address, &book_->cells(address, worker_).open});
    return static_cast<Place>(known_.size());
}

const SourceAddresses::Rotation* SourceAddresses::rotation(int family) const noexcept {
    if (family != AF_INET && family != AF_INET6) return nullptr;
    const Rotation& found = rotations_[family == AF_INET ? 0 : 1];
    return found.sources.empty() ? nullptr : &found;
}

std::size_t SourceAddresses::count(int family) const noexcept {
    const Rotation* found = rotation(family);
    return found == nullptr ? 0 : found->sources.size();
}

const SourceAddresses::Source* SourceAddresses::current_source(int family) const noexcept {
    const Rotation* found = rotation(family);
    return found == nullptr ? nullptr : &found->sources[found->current];
}

const Endpoint* SourceAddresses::current(int family) const noexcept {
    const Source* found = current_source(family);
    return found == nullptr ? nullptr : &found->address;
}

void SourceAddresses::go_on(int family) noexcept {
    Rotation& of_family = rotations_[family == AF_INET ? 0 : 1];
    if (++of_family.current >= of_family.sources.size()) of_family.current = 0;
}

Result<net::ConnectState> SourceAddresses::start_connect(net::Socket& socket, const Endpoint& to,
                                                         net::Poller& poller,
                                                         metrics::Counter& no_port,
                                                         Place& from) noexcept {
    const int family = to.family();
    const std::size_t addresses = count(family);
    for (std::size_t tried = 1;; ++tried) {
        const Source* source = current_source(family);
        const auto state =
            net::start_connect(socket, to, poller, source == nullptr ? nullptr : &source->address);
        if (state && source != nullptr && source->place != nowhere) {
            from = source->place;
            known_[from - 1U].open->add();
        }
        if (state || state.error().value() != EADDRNOTAVAIL) return state;
        no_port.add();
        if (addresses != 0) go_on(family);
        if (tried >= addresses) return state;
    }
}

void SourceAddresses::release(Place& from) noexcept {
    if (const Place place = std::exchange(from, nowhere); place != nowhere)
        known_[place - 1U].open->remove();
}

}  // namespace penstock::proxy
