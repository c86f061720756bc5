#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/tls_stream.hpp"

struct ssl_ctx_st;

namespace penstock::test {

/// What a TLS backend does once the handshake is done.
using TlsScript = std::function<void(TlsStream&, const ChaosBackend&)>;

namespace tls_scripts {
/// Returns whatever comes; a close_notify is answered with one, and with a FIN.
TlsScript echo();
/// Reads to the end and says nothing but close_notify after it.
TlsScript sink();
/// Says this, then ends with a FIN and without close_notify.
TlsScript truncate(std::string text);
/// Reads to the end, and returns what comes if it `echoes`; then says this, and ends with a FIN and
/// without close_notify.
TlsScript leave(std::string text, bool echoes);
/// Says this, then close_notify and FIN, and reads to the end.
TlsScript say(std::string text);
/// Says this, then resets.
TlsScript reset(std::string text);
}  // namespace tls_scripts

struct TlsServerOptions {
    Pair pair;
    std::string client_ca{};  // a file: clients must show a certificate of it
    std::vector<std::string> alpn{};
    TlsVersion min_version = TlsVersion::any;
    TlsVersion max_version = TlsVersion::any;
    bool weak = false;  // lets OpenSSL use any key
    bool proxy_header = false;  // a PROXY header comes first
    bool postgres = false;  // a SSLRequest comes first and is answered
    char postgres_answer = 'S';
    std::string garbage{};  // said in front of the ServerHello
    std::optional<std::size_t> stalls_after{};  // so many bytes of its handshake it says
    std::size_t stalls_later = 0;  // by so many more each connection than the one before it
    End gives_up = End::open;  // how it ends where it has stalled; open = not at all
    bool tickets = true;
    TlsScript script = tls_scripts::echo();
};

/// What the backend has seen of one connection.
struct TlsVisit {
    bool established = false;
    bool resumed = false;
    std::string error{};
    std::string server_name{};
    std::string alpn{};
    std::string version{};
    std::string client_common_name{};
    std::string proxy_header{};  // the bytes
    std::string received{};  // plaintext, the first 4 MiB, once it is over
    std::size_t said = 0;  // bytes of its handshake
    bool stalled = false;  // it had more to say
    TlsEnd end = TlsEnd::open;
    bool over = false;
};

/// The server's side of one connection, for tests that conduct it themselves.
[[nodiscard]] TlsStream tls_server_side(const TlsServerOptions& options);

/// A backend that terminates TLS, with a thread per connection.
class TlsEchoServer {
public:
    explicit TlsEchoServer(TlsServerOptions options, const std::string& address = "127.0.0.1:0");
    ~TlsEchoServer();

    [[nodiscard]] std::string text() const { return backend_->text(); }
    [[nodiscard]] std::uint16_t port() const { return backend_->address().port(); }
    [[nodiscard]] unsigned accepted() const { return backend_->accepted(); }
    [[nodiscard]] std::vector<TlsVisit> visits() const;
    /// Those that have done the handshake.
    [[nodiscard]] std::size_t established() const;
    /// Waits until `count` connections are over, and returns all.
    [[nodiscard]] std::vector<TlsVisit> wait_over(std::size_t count) const;

private:
    void serve(Socket& socket, const ChaosBackend& backend);
    bool greet(Socket& socket, TlsVisit& visit) const;
    void note(std::size_t index, const TlsVisit& visit);

    TlsServerOptions options_;
    std::shared_ptr<ssl_ctx_st> context_;
    mutable std::mutex mutex_;
    std::vector<TlsVisit> visits_;
    std::unique_ptr<ChaosBackend> backend_;
};

}  // namespace penstock::test
