#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/temp_dir.hpp"

namespace penstock::test {

enum class KeyKind : std::uint8_t { ecdsa, rsa, weak_rsa };
enum class Usage : std::uint8_t { server, client, signing };

/// What a certificate says. The names are those of its subject alternative names: `DNS:a.example`,
/// `IP:127.0.0.1`, `URI:spiffe://x/y`; any byte may stand in one.
struct LeafOptions {
    std::vector<std::string> names{};
    std::string common_name{};
    KeyKind key = KeyKind::ecdsa;
    Usage usage = Usage::server;
    int from_days = -1;  // relative to now
    int to_days = 90;
    bool self_signed = false;
    std::size_t intermediates = 1;  // between it and the root; all of them stand in its file
};

/// A certificate with its chain, and its key, as files of mode 0600 and as text.
struct Pair {
    std::string cert_file{};
    std::string key_file{};
    std::string cert_pem{};
    std::string key_pem{};
    std::int64_t serial = 0;
    std::int64_t not_after = 0;  // seconds since 1970
};

/// A throw-away public key infrastructure whose files stand in `directory`: a root, intermediates
/// below it, and the certificates they sign. Everything is made by OpenSSL, nothing by the program
/// under test. Throws std::runtime_error.
class Pki {
public:
    /// `name` tells the authorities of several from each other.
    explicit Pki(const TempDir& directory, std::string name = "test");
    ~Pki();
    Pki(const Pki&) = delete;
    Pki& operator=(const Pki&) = delete;

    /// Writes FILE.pem and FILE.key.
    Pair issue(const std::string& file, const LeafOptions& options);
    /// A server certificate for one DNS name.
    Pair server(const std::string& dns_name) {
        return issue(dns_name, {.names = {"DNS:" + dns_name}, .common_name = dns_name});
    }
    /// A client certificate with that common name and the same DNS name.
    Pair client(const std::string& common_name) {
        return issue(
            common_name,
            {.names = {"DNS:" + common_name}, .common_name = common_name, .usage = Usage::client});
    }

    /// The root alone.
    [[nodiscard]] const std::string& ca_file() const { return ca_file_; }
    /// Revocation lists of the root (empty) and of the first intermediate; returns the file.
    std::string revoke(const std::string& file, const std::vector<std::int64_t>& serials);
    /// The key of `pair` once more, encrypted; returns the file.
    std::string encrypt_key(const std::string& file, const Pair& pair,
                            const std::string& password) const;
    /// Writes a file of mode 0600 into the directory; returns its path.
    std::string write(const std::string& file, const std::string& text) const;

private:
    struct Authority;
    Authority& authority(std::size_t depth);

    const TempDir& directory_;
    std::string name_;
    std::string ca_file_;
    std::vector<std::unique_ptr<Authority>> authorities_;  // the root first
    std::int64_t next_serial_ = 1000;
};

}  // namespace penstock::test
