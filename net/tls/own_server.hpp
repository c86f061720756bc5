#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "net/tls/options.hpp"

// OpenSSL's own names; its headers stay inside net/.
struct ssl_ctx_st;

namespace penstock::net::tls {

/// What the connections to a server of this process's own have in common, whose bytes somebody else
/// carries: one certificate, the policy of listeners, no sessions to resume, no demands on clients.
/// Immutable; any thread.
class OwnServerContext {
public:
    /// The error is one sentence that names the file. The caller wipes `pair`.
    [[nodiscard]] static std::expected<std::shared_ptr<const OwnServerContext>, std::string> make(
        const KeyPair& pair);
    ~OwnServerContext();
    OwnServerContext(const OwnServerContext&) = delete;
    OwnServerContext& operator=(const OwnServerContext&) = delete;

    [[nodiscard]] const std::vector<CertificateInfo>& certificates() const noexcept {
        return certificates_;
    }
    [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    /// One reference more: whoever takes it frees it, as Asio's context does.
    [[nodiscard]] ssl_ctx_st* share() const noexcept;

private:
    explicit OwnServerContext(ssl_ctx_st* context) : context_(context) {}
    ssl_ctx_st* context_;
    std::vector<CertificateInfo> certificates_;
    std::vector<std::string> warnings_;
};

}  // namespace penstock::net::tls
