#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::net {

/// What a TLS client says first, as far as it decides where it goes.
struct ClientHello {
    /// Lower case, without a trailing dot; "" = it gave none (or one that is no host name).
    std::string server_name{};
    std::vector<std::string> alpn{};  // in its order
    bool operator==(const ClientHello&) const = default;
};

/// Reads a ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301) that arrives in any number of pieces
/// and TLS records. Keeps at most `max_bytes` of it. Pure.
class ClientHelloReader {
public:
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
    [[nodiscard]] std::string_view problem() const noexcept { return problem_; }

private:
    Status fail(Status status, std::string_view problem) noexcept;

    std::size_t max_bytes_;
    std::size_t fed_ = 0;
    Status status_ = Status::need_more;
    std::string_view problem_{};
    std::vector<std::byte> pending_;  // of a record header that is not complete
    std::vector<std::byte> message_;  // the handshake message, without record headers
    std::size_t record_left_ = 0;
    ClientHello hello_;
};

}  // namespace penstock::net
