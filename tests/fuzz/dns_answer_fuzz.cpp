// Any bytes are looked at without a crash; a TTL is never negative.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "net/dns/answer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace penstock;
    if (const auto ttl = net::smallest_ttl({data, size}, net::dns_type_srv))
        if (*ttl < Duration::zero()) {
            std::fputs("a negative TTL\n", stderr);
            std::abort();
        }
    return 0;
}
