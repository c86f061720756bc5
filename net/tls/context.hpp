#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/tls/options.hpp"
#include "net/tls/ticket_keys.hpp"

// OpenSSL's own names; its headers stay inside net/.
struct ssl_ctx_st;

namespace penstock::net::tls {

/// From now on no file that the environment names (OPENSSL_CONF) changes what OpenSSL does. Counts
/// only before anything else in the process has used OpenSSL: first thing in main(). Any thread.
void ignore_openssl_conf() noexcept;

/// What the connections of one listener share: certificates, rules, sessions. Immutable but for
/// OpenSSL's cache of sessions, which locks itself. Made on any thread, used by all workers;
/// connections keep what they need of it.
class ServerContext {
public:
    /// The error is one sentence that names the file: `/a.pem: not a PEM certificate`, `/a.key: the
    /// key does not belong to the certificate in /a.pem`.
    [[nodiscard]] static std::expected<std::shared_ptr<const ServerContext>, std::string> make(
        const ServerOptions& options, std::shared_ptr<TicketKeys> tickets);
    ~ServerContext();
    ServerContext(const ServerContext&) = delete;
    ServerContext& operator=(const ServerContext&) = delete;

    [[nodiscard]] const std::vector<CertificateInfo>& certificates() const noexcept;
    /// The lists of `client_crl`.
    [[nodiscard]] const std::vector<RevocationInfo>& revocations() const noexcept;
    /// What is odd and yet works: an expired certificate or list, a weak key, a lifetime above 398
    /// days, two certificates for one name. One sentence each.
    [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;
    [[nodiscard]] ClientAuth client_auth() const noexcept;

private:
    friend class Stream;
    struct State;
    explicit ServerContext(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// What connections to the backends of one upstream share. As ServerContext.
class ClientContext {
public:
    [[nodiscard]] static std::expected<std::shared_ptr<const ClientContext>, std::string> make(
        const ClientOptions& options);
    ~ClientContext();
    ClientContext(const ClientContext&) = delete;
    ClientContext& operator=(const ClientContext&) = delete;

    /// The client certificate, if there is one, and the authorities of `ca`.
    [[nodiscard]] const std::vector<CertificateInfo>& certificates() const noexcept;
    /// The lists of `crl`.
    [[nodiscard]] const std::vector<RevocationInfo>& revocations() const noexcept;
    [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;
    [[nodiscard]] bool reuses_sessions() const noexcept;
    /// For a connection whose bytes somebody else carries (net/tls/memory_client.hpp).
    [[nodiscard]] ssl_ctx_st* native() const noexcept;

private:
    friend class Stream;
    struct State;
    explicit ClientContext(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace penstock::net::tls
