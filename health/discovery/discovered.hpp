#pragma once

#include <cstdint>
#include <string>

#include "base/endpoint.hpp"
#include "config/upstream.hpp"

namespace penstock::health {

/// Where an upstream has a backend from.
enum class Origin : std::uint8_t {
    listed,  // in the configuration, with its address
    file,    // of [[discovery]]
    name,    // in DNS
};

/// One backend that an upstream should have now, from whichever source.
struct Discovered {
    std::string name;  // unique in its upstream: `a`, `NAME@IP:PORT`, `IP:PORT`
    Endpoint address;
    std::string host;  // the host name it was found under; "" = none
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    std::uint64_t max_connections = 0;
    config::BackendState state = config::BackendState::ready;
    Origin origin = Origin::listed;

    bool operator==(const Discovered&) const = default;
};

}  // namespace penstock::health
