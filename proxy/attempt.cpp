#include "proxy/attempt.hpp"

#include <cerrno>
#include <utility>

namespace penstock::proxy {

AttemptError classify_connect_error(int error) noexcept {
    switch (error) {
        case 0: return AttemptError::none;
        case ECONNREFUSED:
        case ENOENT:  // the path of a unix socket that nobody made
            return AttemptError::refused;
        case ETIMEDOUT: return AttemptError::timeout;
        case EHOSTUNREACH:
        case ENETUNREACH:
        case EHOSTDOWN:
        case ENETDOWN:
        case EPERM:  // a local firewall's answer
        case EACCES: return AttemptError::unreachable;
        case ECONNRESET: return AttemptError::reset;
        case EADDRNOTAVAIL:
        case EADDRINUSE: return AttemptError::no_port;
        case EMFILE:
        case ENFILE: return AttemptError::no_fd;
        default: return AttemptError::other;
    }
}

AttemptResult attempt_result(int error) noexcept {
    const bool no_memory = error == ENOMEM || error == ENOBUFS || error == ENOSPC;
    return {classify_connect_error(error), error, no_memory};
}

std::optional<balancer::Failure> failure_of(AttemptError error, bool early_reset_counts) noexcept {
    switch (error) {
        case AttemptError::refused: return balancer::Failure::refused;
        case AttemptError::timeout: return balancer::Failure::timeout;
        case AttemptError::unreachable: return balancer::Failure::unreachable;
        case AttemptError::reset:
            if (!early_reset_counts) return std::nullopt;
            return balancer::Failure::early_reset;
        case AttemptError::tls:
        case AttemptError::other: return balancer::Failure::other;
        case AttemptError::none:
        case AttemptError::no_port:
        case AttemptError::no_fd: return std::nullopt;
    }
    std::unreachable();
}

}  // namespace penstock::proxy
