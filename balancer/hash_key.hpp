#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "balancer/policy.hpp"
#include "base/endpoint.hpp"

namespace penstock::balancer {

/// What of a client its backend follows from.
enum class HashKey : std::uint8_t { source_ip, source_ip_port, sni };

/// Hashes clients for the hash policies. The key is a text, as nginx has it: source_ip is
/// $remote_addr (`10.0.0.1`, `2001:db8::1`, without scope), source_ip_port is
/// $remote_addr:$remote_port. An IPv4-mapped address is the IPv4 address. For maglev, and for
/// ring_hash with a seed, the hash is XXH3 of the text with the seed (for ring_hash, its upper
/// half); for ring_hash with seed 0 it is the CRC-32 of the text, so that the choice is that of
/// nginx. sni is the name that the client asked for ($ssl_preread_server_name).
class KeyHasher {
public:
    KeyHasher(PolicyKind policy, HashKey key, std::uint64_t seed) noexcept
        : policy_(policy), key_(key), seed_(seed) {}

    /// Nothing where the client has no such key (a unix peer has no address, `server_name` may be
    /// empty), and for other policies. Never allocates.
    [[nodiscard]] std::optional<std::uint64_t> hash(
        const CompactEndpoint& client, std::string_view server_name = {}) const noexcept;

private:
    PolicyKind policy_;
    HashKey key_;
    std::uint64_t seed_;
};

}  // namespace penstock::balancer
