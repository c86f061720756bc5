#pragma once

#include <string>
#include <vector>

#include "net/tls/options.hpp"

namespace penstock::net::tls {

struct CertificateSpec {
    std::string common_name{};
    /// As OpenSSL writes them: `DNS:a.example`, `IP:127.0.0.1`, `URI:spiffe://x`.
    std::vector<std::string> names{};
    /// A DNS name that OpenSSL's own syntax cannot express (NULs).
    std::string raw_dns_name{};
    long from_days = -1;
    long to_days = 90;
    long to_seconds = 0;  // beyond these days
    unsigned rsa_bits = 0;  // 0 = EC on P-256
    bool authority = false;
};

struct TestCertificate {
    std::string cert_pem{};
    std::string key_pem{};
    long serial = 0;

    /// With `chain` behind it.
    [[nodiscard]] KeyPair pair(const std::string& chain = "") const;
};

/// Signed by `issuer`, or by itself.
[[nodiscard]] TestCertificate make_certificate(const CertificateSpec& spec,
                                               const TestCertificate* issuer = nullptr);
/// What `issuer` has revoked, good for `to_days` days and so many seconds.
[[nodiscard]] std::string make_crl(const TestCertificate& issuer,
                                   const std::vector<long>& revoked_serials, long to_days = 30,
                                   long to_seconds = 0);
/// The key of `certificate`, encrypted.
[[nodiscard]] std::string encrypt_key(const TestCertificate& certificate,
                                      const std::string& password);

/// An authority that lives as long as the program.
[[nodiscard]] const TestCertificate& test_authority();
/// Signed by it, for `name`.
[[nodiscard]] TestCertificate certificate_for(const std::string& name, unsigned rsa_bits = 0);

}  // namespace penstock::net::tls
