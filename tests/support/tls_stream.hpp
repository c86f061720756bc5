#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/socket.hpp"

// OpenSSL's own names.
struct ssl_st;
struct ssl_session_st;

namespace penstock::test {

enum class TlsVersion : std::uint8_t { any, tls10, tls11, tls12, tls13 };

/// How a peer saw a TLS connection end.
enum class TlsEnd : std::uint8_t {
    open,       // it has not, when the time was over
    notified,   // close_notify
    truncated,  // a FIN without one
    reset,
    failed,  // an alert, or bytes that are no TLS
};
[[nodiscard]] const char* name_of(TlsEnd end);
std::ostream& operator<<(std::ostream& out, TlsEnd end);

/// A session that a client may offer again.
struct TlsSession {
    std::shared_ptr<ssl_session_st> native{};
    [[nodiscard]] explicit operator bool() const { return native != nullptr; }
    /// What the server allows as early data: 0 = none.
    [[nodiscard]] std::uint32_t max_early_data() const;
};

/// One side of a TLS connection. OpenSSL works on memory alone, and every byte passes through the
/// test's hands: records can be held back, cut, altered or mixed with others. Blocking, with a
/// deadline on each wait; one user at a time.
class TlsStream {
public:
    /// Takes `ssl`, which knows its role.
    explicit TlsStream(ssl_st* ssl);
    TlsStream(TlsStream&&) noexcept;
    TlsStream& operator=(TlsStream&&) noexcept;
    ~TlsStream();

    /// From now on over this socket.
    void attach(Socket socket) { socket_ = std::move(socket); }
    [[nodiscard]] Socket& socket() { return socket_; }

    /// The next bytes of the handshake that need no answer (a client's hello): taken, not sent.
    std::string begin();
    bool handshake(milliseconds limit = patience);

    bool send(std::string_view text, milliseconds limit = patience);
    /// The records of `text`: taken, not sent.
    std::string seal(std::string_view text);
    /// Waits for exactly `count` bytes; fewer when the stream ended or the time was over.
    std::string receive_text(std::size_t count, milliseconds limit = patience);
    /// Whatever comes next: empty at an end or when the time was over.
    std::string receive_some(milliseconds limit = patience);
    /// Reads to the end.
    TlsEnd wait_end(milliseconds limit = patience, std::string* received = nullptr);
    /// close_notify: the end of what this side says.
    void notify();
    /// The bytes of the close_notify: taken, not sent.
    std::string seal_notify();

    /// While corked, whatever would be sent is collected; uncork() sends it in one go.
    void cork() { corked_ = true; }
    bool uncork();
    [[nodiscard]] std::size_t corked() const { return held_.size(); }
    /// After so many more bytes this side sends no others, and seems to have stalled.
    void stall_after(std::size_t bytes) { allowance_ = bytes; }
    void go_on() { allowance_.reset(); }
    /// Something was to be sent after that.
    [[nodiscard]] bool stalled() const { return stalled_; }
    /// Byte number `at` of what this side says is sent with these bits turned over.
    void alter(std::size_t at, unsigned bits) { altered_ = {at, bits}; }
    /// Bytes that were sent so far.
    [[nodiscard]] std::size_t said() const { return said_; }

    [[nodiscard]] TlsEnd end() const { return end_; }
    /// What has come so far, the first 4 MiB of it.
    [[nodiscard]] const std::string& heard() const { return heard_; }
    /// OpenSSL's words about what failed.
    [[nodiscard]] const std::string& error() const { return error_; }
    /// The last alert that the peer has sent.
    [[nodiscard]] std::optional<int> alert() const;
    [[nodiscard]] bool established() const { return established_; }

    [[nodiscard]] std::string version() const;
    [[nodiscard]] std::string cipher() const;
    [[nodiscard]] std::string alpn() const;
    [[nodiscard]] std::string server_name() const;  // as a server heard it
    [[nodiscard]] bool resumed() const;
    [[nodiscard]] std::string peer_common_name() const;
    [[nodiscard]] bool peer_key_is_rsa() const;
    [[nodiscard]] std::int64_t peer_serial() const;
    /// The newest session that may be resumed; empty = none.
    [[nodiscard]] TlsSession session() const;
    [[nodiscard]] ssl_st* native() const;

private:
    struct State;
    bool flush(milliseconds limit);
    bool fill(milliseconds limit);
    std::string take_output();
    bool fail();
    void hear(std::string_view text);

    std::unique_ptr<State> state_;
    Socket socket_;
    std::string held_;
    std::string heard_;
    std::optional<std::size_t> allowance_;
    std::optional<std::pair<std::size_t, unsigned>> altered_;
    std::size_t said_ = 0;
    std::string error_;
    TlsEnd end_ = TlsEnd::open;
    bool corked_ = false;
    bool stalled_ = false;
    bool established_ = false;
};

/// OpenSSL's number of a version, 0 for any.
[[nodiscard]] int number_of(TlsVersion version);
/// ALPN names in the form of the wire.
[[nodiscard]] std::string alpn_bytes(const std::vector<std::string>& names);

}  // namespace penstock::test
