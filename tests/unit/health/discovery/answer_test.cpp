#include "net/dns/answer.hpp"

#include <string>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "tests/support/dns_server.hpp"

namespace penstock::net {
namespace {

using test::DnsServer;
using namespace std::chrono_literals;

std::string bytes(std::initializer_list<unsigned> values) {
    std::string out;
    for (const unsigned value : values) out += static_cast<char>(value);
    return out;
}

std::optional<Duration> ttl(const std::string& message) {
    return smallest_ttl({reinterpret_cast<const std::uint8_t*>(message.data()), message.size()},
                        dns_type_srv);
}

// One question, two answers: SRV with TTL 300 and 7.
std::string good() {
    const auto question = DnsServer::wire("s.test") + bytes({0, 33, 0, 1});
    const auto record = [](unsigned ttl_low) {
        return bytes({0xc0, 12, 0, 33, 0, 1, 0, 0, ttl_low >> 8, ttl_low & 255, 0, 9, 0, 1, 0, 1, 0,
                      80}) +
               bytes({1, 'a', 0});
    };
    return bytes({1, 2, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0}) + question + record(300) + record(7);
}

TEST(DnsAnswer, the_smallest_ttl_counts) { EXPECT_EQ(ttl(good()), 7s); }

TEST(DnsAnswer, D7_negative_is_zero) {
    EXPECT_EQ(ttl_of(-1), 0s);
    EXPECT_EQ(ttl_of(std::numeric_limits<std::int32_t>::min()), 0s);
    EXPECT_EQ(ttl_of(std::numeric_limits<std::int32_t>::max()), 2147483647s);
}

TEST(DnsAnswer, D4_what_is_malformed_has_none) {
    const auto whole = good();
    EXPECT_FALSE(ttl(""));
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_FALSE(ttl(whole.substr(0, size))) << size;
    auto lies = whole;
    lies[7] = 9;  // more answers than there are
    EXPECT_FALSE(ttl(lies));
    auto label = whole;
    label[12] = 64;  // 01xxxxxx is no length
    EXPECT_FALSE(ttl(label));
    auto endless = bytes({1, 2, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0});
    for (int i = 0; i < 300; ++i) endless += bytes({1, 'a'});
    EXPECT_FALSE(ttl(endless));
}

TEST(DnsAnswer, D4_mutations_do_no_harm) {
    Random random(7);
    for (int i = 0; i < 100'000; ++i) {
        auto message = good();
        for (int n = 0; n < 4; ++n)
            message[random.below(static_cast<std::uint32_t>(message.size()))] =
                static_cast<char>(random.below(256));
        message.resize(random.below(static_cast<std::uint32_t>(message.size()) + 1));
        const auto found = ttl(message);
        if (found) {
            EXPECT_GE(*found, 0s);
        }
    }
}

}  // namespace
}  // namespace penstock::net
