#pragma once

#include <expected>
#include <string>
#include <vector>

#include "net/tls/handles.hpp"
#include "net/tls/options.hpp"

namespace penstock::net::tls {

/// A certificate with its key and the chain that goes with it.
struct LoadedPair {
    CertificatePtr certificate;
    KeyPtr key;
    ChainPtr chain;
    CertificateInfo info;
};

/// Reads and matches a pair. The error is a sentence that names the file.
[[nodiscard]] std::expected<LoadedPair, std::string> load_pair(const KeyPair& source);

/// Authorities to trust and lists of what they have revoked, as read from files.
struct TrustSource {
    const std::string& ca_file;
    const std::string& ca_pem;
    const std::string& crl_file;
    const std::string& crl_pem;  // "" = revocation is not checked
};

/// With lists of `pem`, every certificate of a chain must be on none; without, nothing changes.
[[nodiscard]] std::expected<std::vector<RevocationInfo>, std::string> add_revocations(
    X509_STORE* store, const std::string& file, const std::string& pem);

struct Trust {
    std::vector<CertificatePtr> authorities{};
    std::vector<RevocationInfo> revocations{};
    std::vector<std::string>
        unlisted{};  // authorities of which there is no list, although of others
};
/// Adds the authorities and their lists to `store`, and returns them. The error is a sentence that
/// names the file.
[[nodiscard]] std::expected<Trust, std::string> fill_store(X509_STORE* store,
                                                           const TrustSource& source);

/// When the first of them ends; max() if none does.
[[nodiscard]] SystemTime first_end(const STACK_OF(X509) * chain) noexcept;
[[nodiscard]] SystemTime first_end(const std::vector<RevocationInfo>& revocations) noexcept;

[[nodiscard]] CertificateInfo describe(X509* certificate, const std::string& file);
/// The authorities, and what is odd about them and their lists, one sentence each.
void describe_trust(const Trust& trust, const TrustSource& source,
                    std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings);
void warn_of_expired(const std::vector<RevocationInfo>& revocations,
                     std::vector<std::string>& warnings);
/// The certificate and those of its chain, and what is odd about them, one sentence each.
void describe_pair(const LoadedPair& pair, std::vector<CertificateInfo>& infos,
                   std::vector<std::string>& warnings);
[[nodiscard]] bool has_expired(X509* certificate) noexcept;

/// `CN=a,O=b`.
[[nodiscard]] std::string subject_of(X509* certificate);
/// "" = none.
[[nodiscard]] std::string common_name_of(X509* certificate);
/// The first of its alternative names, with its kind as OpenSSL writes it: `URI:spiffe://a/b`;
/// "" = none.
[[nodiscard]] std::string first_name_of(X509* certificate);
/// For messages: the common name, else the first DNS name, else the subject, else any other name.
[[nodiscard]] std::string short_name(X509* certificate);
/// `certificate` bears one of `allowed` among its alternative names: a host name, `*.` and a host
/// name (one label more), an IP address, a mail address or a URI. Common names do not count.
[[nodiscard]] bool bears_one_of(X509* certificate, const std::vector<std::string>& allowed);

}  // namespace penstock::net::tls
