#pragma once

#include <vector>

#include "base/endpoint.hpp"

namespace penstock::health {

/// Which addresses that a name server or a file of others names may become backends. Refused are
/// those that nobody can be reached at (unspecified, multicast, broadcast, port 0), and the
/// listeners of this proxy itself, where connections would go round in a circle. Loopback is
/// allowed otherwise: names that lead there are usual beside the proxy, and a name server that is
/// hostile can name any other server as well. Pure.
class AddressFilter {
public:
    explicit AddressFilter(std::vector<Endpoint> own) : own_(std::move(own)) {}

    [[nodiscard]] bool allows(const Endpoint& address) const noexcept;

private:
    std::vector<Endpoint> own_;
};

}  // namespace penstock::health
