#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::net {

/// What a TLS client says first, as far as it decides where it goes.
struct ClientHello {
    /// Lower case, without a trailing dot; "" = it gave none, or one that is no host name.
    std::string server_name{};
    std::vector<std::string> alpn{};  // in its order
    bool operator==(const ClientHello&) const = default;
};

/// A server name as a hello's would be read: lower case, without a trailing dot; "" if it is no
/// host name.
[[nodiscard]] std::string normalized_server_name(std::string_view name);

/// Reads a ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301) that arrives in any number of pieces
/// and TLS records. Pure, linear in what it is fed.
///
/// What becomes of doubtful ones:
///
///     first byte is not 22, or the second not 3 (HTTP, SSLv2)         not_tls
///     a record without bytes, longer than 16384, or of another type   invalid
///     the first handshake message is no ClientHello                   invalid
///     lengths that contradict each other, a session id above 32       invalid
///     server_name or ALPN twice; either malformed                     invalid
///     server_name with no name, an empty one, several, another type   invalid
///     a name that is no host name: longer than 255 (labels: 63)       server_name ""
///       bytes, others than letters, digits and - . _, an empty label
///     a name that is an IP address                                    server_name ""
///     any record version 3.x, any legacy_version, cipher suites,      ignored
///       compression methods, other extensions (ECH, GREASE), none
///     bytes behind the hello                                          ignored
class ClientHelloReader {
public:
    /// `max_bytes`: of the hello, with all record headers but the first.
    explicit ClientHelloReader(std::size_t max_bytes) : max_bytes_(max_bytes) {}

    enum class Status : std::uint8_t {
        need_more,
        complete,
        not_tls,    // the first bytes are of another protocol
        invalid,    // TLS, but broken: problem() says how
        too_large,  // more than max_bytes
    };
    /// `bytes` follow those of the calls before. After anything but need_more it takes no more.
    Status feed(std::span<const std::byte> bytes);

    [[nodiscard]] Status status() const noexcept { return status_; }
    [[nodiscard]] const ClientHello& hello() const noexcept { return hello_; }
    /// A literal; "" while there is none.
    [[nodiscard]] std::string_view problem() const noexcept { return problem_; }

private:
    static constexpr std::size_t record_header_size = 5;

    Status fail(Status status, std::string_view problem) noexcept;
    void take_header_byte(std::byte byte);
    void take_fragment(std::span<const std::byte> fragment);
    void begin_message();
    void finish_message();

    std::size_t max_bytes_;
    std::size_t taken_ = 0;  // bytes, without the first record's header
    Status status_ = Status::need_more;
    bool first_record_ = true;
    std::string_view problem_{};
    std::array<std::byte, record_header_size> header_{};
    std::size_t header_size_ = 0;
    std::size_t record_left_ = 0;  // of the record's bytes; 0 = a header is next
    std::vector<std::byte> message_;  // the handshake message, without record headers
    std::size_t message_size_ = 0;  // 0 = not known yet
    ClientHello hello_;
};

}  // namespace penstock::net
