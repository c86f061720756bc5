#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/socket.hpp"

/// Headers of the PROXY protocol (proxy-protocol.txt, 2020/03/05), written and read by the tests
/// alone.
namespace penstock::test {

inline constexpr std::string_view proxy_v2_signature{"\r\n\r\n\0\r\nQUIT\n", 12};

namespace tlv {
inline constexpr std::uint8_t alpn = 0x01;
inline constexpr std::uint8_t authority = 0x02;
inline constexpr std::uint8_t crc32c = 0x03;
inline constexpr std::uint8_t noop = 0x04;
inline constexpr std::uint8_t unique_id = 0x05;
inline constexpr std::uint8_t ssl = 0x20;
inline constexpr std::uint8_t ssl_version = 0x21;
inline constexpr std::uint8_t ssl_common_name = 0x22;
inline constexpr std::uint8_t ssl_cipher = 0x23;
}  // namespace tlv

struct ProxyTlv {
    std::uint8_t type = 0;
    std::string value{};
};

/// Addresses as `10.1.2.3:4567` or `[2001:db8::1]:4567`, both of one family.
[[nodiscard]] std::string proxy_v1(const std::string& source, const std::string& destination);
[[nodiscard]] std::string proxy_v2(const std::string& source, const std::string& destination,
                                   const std::vector<ProxyTlv>& tlvs = {}, bool with_crc = false);
/// The command LOCAL without addresses.
[[nodiscard]] std::string proxy_v2_local(const std::vector<ProxyTlv>& tlvs = {});
/// Any bytes: version and command, family and protocol, and what follows them, with its true length
/// or with another one.
[[nodiscard]] std::string proxy_v2_raw(std::uint8_t command, std::uint8_t family,
                                       std::string_view payload,
                                       std::optional<std::uint16_t> length = {});
/// The addresses of a v2 header.
[[nodiscard]] std::string proxy_v2_addresses(const std::string& source,
                                             const std::string& destination);
[[nodiscard]] std::string encode_tlvs(const std::vector<ProxyTlv>& tlvs);

/// Castagnoli's checksum, bit by bit.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

struct ProxyHeader {
    int version = 0;
    std::string command{};  // PROXY, LOCAL, UNKNOWN (v1)
    std::string source{};  // "" = none
    std::string destination{};
    std::vector<ProxyTlv> tlvs{};
    bool crc_wrong = false;  // it bears a checksum of something else
    std::string raw{};

    [[nodiscard]] const std::string* find(std::uint8_t type) const;
};

/// The contents of an SSL TLV.
struct ProxySsl {
    std::uint8_t client = 0;
    std::uint32_t verify = 0;
    std::vector<ProxyTlv> tlvs{};
    [[nodiscard]] const std::string* find(std::uint8_t type) const;
};
[[nodiscard]] std::optional<ProxySsl> read_ssl_tlv(std::string_view value);

/// Reads the header at the start of a connection and not a byte more; nothing when there is none,
/// or when its lengths contradict each other.
std::optional<ProxyHeader> read_proxy_header(Socket& socket, milliseconds limit = patience);

/// A backend that demands a PROXY header, keeps it, and echoes whatever follows.
class ProxyHeaderBackend {
public:
    explicit ProxyHeaderBackend(const std::string& address = "127.0.0.1:0");
    [[nodiscard]] std::string text() const { return backend_.text(); }
    [[nodiscard]] unsigned accepted() const { return backend_.accepted(); }
    [[nodiscard]] std::vector<ProxyHeader> headers() const;
    /// Those of real clients: no LOCAL, which is how checks come.
    [[nodiscard]] std::vector<ProxyHeader> wait_headers(std::size_t count) const;
    /// Connections that did not begin with a header.
    [[nodiscard]] unsigned without() const { return without_; }

private:
    mutable std::mutex mutex_;
    std::vector<ProxyHeader> headers_;
    std::atomic<unsigned> without_ = 0;
    ChaosBackend backend_;
};

}  // namespace penstock::test
