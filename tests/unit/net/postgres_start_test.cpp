#include "net/postgres_start.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/net/bytes.hpp"

namespace penstock::net {
namespace {

using namespace std::string_literals;

std::string packet(std::size_t length, const std::string& code) {
    return u16(length >> 16) + u16(length) + code;
}
const std::string ssl = "\x04\xd2\x16\x2f"s;
const std::string gss = "\x04\xd2\x16\x30"s;
const std::string cancel_code = "\x04\xd2\x16\x2e"s;
const std::string protocol_3 = "\x00\x03\x00\x00"s;

TEST(PostgresStart, EveryStartInAnyPieces) {
    using enum PostgresStart;
    struct Case {
        std::string bytes;
        PostgresStart result;
        std::size_t told_at;  // bytes
    };
    const Case cases[] = {
        {std::string(postgres_ssl_request), ssl_request, 8},
        {packet(8, gss), gss_request, 8},
        {packet(16, cancel_code), PostgresStart::cancel, 8},
        {packet(268, cancel_code), PostgresStart::cancel, 8},  // protocol 3.2: longer keys
        {packet(8, protocol_3), startup, 8},
        {packet(41, "\x00\x03\x00\x02"s) + "user\0", startup, 8},
        {packet(10000, "\x00\x03\x27\x0f"s), startup, 8},  // 3.9999: version negotiation
        {"\x16\x03\x01\x02\x00\x01\x00\x01"s, direct_tls, 1},
        {packet(9, ssl), invalid, 8},
        {packet(12, gss), invalid, 8},
        {packet(8, cancel_code), invalid, 8},
        {packet(15, cancel_code), invalid, 8},
        {packet(269, cancel_code), invalid, 8},
        {packet(296, "\x00\x02\x00\x00"s), invalid, 8},  // protocol 2
        {packet(8, "\x04\xd2\x16\x31"s), invalid, 8},
        {packet(10001, protocol_3), invalid, 4},
        {packet(7, protocol_3), invalid, 4},
        {packet(0, protocol_3), invalid, 4},
        {"\x00\x01\x00\x00"s, invalid, 2},
        {"GET / HTTP/1.1\r\n", invalid, 1},
        {"\x80\x2e\x01\x03"s, invalid, 1},
        {"\x01\x00\x00\x00"s, invalid, 1},
    };
    for (const auto& [bytes, result, told_at] : cases)
        for (std::size_t size = 0; size <= bytes.size(); ++size) {
            const std::vector<char> copy(bytes.begin(),
                                         bytes.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_EQ(read_postgres_start(bytes_of({copy.data(), copy.size()})),
                      size < told_at ? need_more : result)
                << size << " of " << testing::PrintToString(bytes);
        }
}

}  // namespace
}  // namespace penstock::net
